"""
Rows that no expert should answer for
=====================================

The farther a row lies from all data, the surer a softmax gate becomes of its
expert: the brightest corners on the left are those where nothing was ever observed.
A `GaussianGate` knows the density of the features. Rows beyond the line on the
right are less likely than all but 1 % of the training rows; `novelty` flags them,
whatever the probabilities of the experts.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import Ridge

from skmoe import GaussianGate, MixtureOfExpertsRegressor, SoftmaxGate

rng = np.random.default_rng(0)
night = rng.random(600) < 0.4
X = np.where(night[:, None], [-1.5, 1.0], [1.5, -0.5]) + rng.normal(size=(600, 2))
y = np.where(night, X[:, 0], -X[:, 1]) + 0.1 * rng.normal(size=600)
strangers = np.array([[6.0, 6.0], [-6.0, -5.0], [7.0, -6.0]])

# %%
# A softmax gate and a Gaussian gate for the same two experts:

axis = np.linspace(-8, 8, 200)
grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
figure, axes = plt.subplots(
    1, 2, figsize=(11.5, 5), sharey=True, layout="constrained"
)
for ax, gate in zip(axes, (SoftmaxGate(), GaussianGate("diag")), strict=True):
    moe = MixtureOfExpertsRegressor(
        Ridge(), n_experts=2, gate=gate, overlap=0.0, random_state=0
    )
    moe.fit(X, y)
    if isinstance(gate, SoftmaxGate):
        shown = moe.gate_proba(grid).max(axis=1)
        label = "probability of the top expert"
    else:
        shown = moe.gate_.score_samples(grid)
        label = "log-density of the features"
        novelty = moe.gate_.novelty(grid).reshape(200, 200)
        ax.contour(axis, axis, novelty, [0.0], colors="#D55E00", linewidths=2)
    image = ax.pcolormesh(
        axis, axis, shown.reshape(200, 200), cmap="cividis", rasterized=True
    )
    figure.colorbar(image, ax=ax, label=label)
    ax.scatter(*X.T, s=4, color="black", label="training rows")
    star = {"s": 120, "marker": "*", "color": "#D55E00", "edgecolors": "white"}
    ax.scatter(*strangers.T, label="strangers", **star)
    ax.set(title=type(gate).__name__, xlabel="feature 0", aspect="equal")
    surest = moe.gate_proba(strangers).max(axis=1).min()
    print(f"{type(gate).__name__}: strangers' top expert has at least {surest:.1%}")
axes[0].set_ylabel("feature 1")
axes[1].plot(
    [], [], color="#D55E00", linewidth=2, label="1 % of the training rows beyond"
)
axes[1].legend(loc="upper left", framealpha=1.0)
plt.show()

# %%
# Who is flagged:

share = (moe.gate_.novelty(X) > 0).mean()
strange = (moe.gate_.novelty(strangers) > 0).sum()
print(f"{share:.1%} of the training rows, {strange} of {len(strangers)} strangers")
