"""
A tree of decisions
===================

Demand for energy falls with the temperature while there is heating, and rises where
there is cooling; at night cooling starts later. A `HierarchicalGate` first chooses
a group of experts (left, night or day), then an expert within the group, each with
a border of its own (right). Groups and a start that suits them are given, since EM
does not move experts between groups.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import Ridge

from skmoe import HierarchicalGate, MixtureOfExpertsRegressor
from skmoe.inspection import GateRegionsDisplay

rng = np.random.default_rng(0)
X = rng.uniform([0, -10], [24, 35], size=(2000, 2))
hour, degrees = X.T
day = hour > 9
cooling = degrees > np.where(day, 10, 20)
slope, base = np.where(cooling, np.where(day, 2.0, 1.0), -0.5), 10 * day
y = base + slope * (degrees - np.where(day, 10, 20)) + rng.normal(size=2000)

# %%
# The start says which rows are whose, with some doubt; EM does the rest.

names = ["night, heating", "night, cooling", "day, heating", "day, cooling"]
regime = 2 * day + cooling
moe = MixtureOfExpertsRegressor(
    [(name, Ridge()) for name in names],
    gate=HierarchicalGate(groups=[[0, 1], [2, 3]]),
    init=0.1 + 0.6 * np.eye(4)[regime[:1500]],
    overlap=0.0,
    max_iter=60,
    random_state=0,
).fit(X[:1500], y[:1500])
ridge = Ridge().fit(X[:1500], y[:1500])
print(f"R² on new rows: mixture {moe.score(X[1500:], y[1500:]):.2f}, "
      f"one ridge {ridge.score(X[1500:], y[1500:]):.2f}")  # fmt: skip

# %%
# The first decision has one border, the second has two.

figure, axes = plt.subplots(
    1, 2, figsize=(12, 5), width_ratios=(1.15, 1), layout="constrained"
)
hours, temperatures = np.linspace(0, 24, 150), np.linspace(-10, 35, 150)
grid = np.stack(np.meshgrid(hours, temperatures), axis=-1).reshape(-1, 2)
first_decision = moe.gate_.gates_[0].predict_proba(grid)[:, 1].reshape(150, 150)
image = axes[0].pcolormesh(
    hours, temperatures, first_decision, cmap="cividis", rasterized=True
)
figure.colorbar(
    image, ax=axes[0], label="first decision: probability of the group of the day"
)
GateRegionsDisplay.from_estimator(moe, X, ax=axes[1])
for ax in axes:
    ax.set(
        xlabel="hour of the day",
        ylabel="temperature (°C)",
        xlim=(0, 24),
        ylim=(-10, 35),
    )
axes[0].set_title("first decision")
axes[1].set_title("both decisions")
plt.show()
