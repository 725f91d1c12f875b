"""
Why this expert?
================

What speaks for one expert and against another, for a single patient.

The log-odds between the chosen expert and the runner-up are a baseline plus a
contribution of each feature (left). The nearest border is the smallest change, in
standard deviations, after which another expert is as probable (right). Both are
exact, since a softmax gate is linear.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge

from skmoe import MixtureOfExpertsRegressor
from skmoe.inspection import GateRegionsDisplay, explain_routing

X, y = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
X = X.rename(columns={"s5": "log_triglycerides"})
columns = ["bmi", "log_triglycerides"]
moe = MixtureOfExpertsRegressor(
    Ridge(), n_experts=2, gate_features=columns, overlap=0.1, random_state=0
).fit(X, y)
# %%
# Two linear experts share the patients between them. The gate sees body mass and
# blood fat; `explain_routing` takes its choice for patient 169 apart.

explanation = explain_routing(moe, X)
patient = explanation.iloc[169]
routing, border = patient["routing"], patient["border"]

# %%
# The bars add up to the sum. On the right the same patient in the plane of the two
# features, and the shortest way to the border.

figure, axes = plt.subplots(
    1, 2, figsize=(12, 5), width_ratios=(1, 1.2), layout="constrained"
)
parts = {"average patient": routing["baseline"], **patient["contribution"]}
parts["sum"] = routing["log_odds"]
# In the colour of the expert that a feature speaks for
palette = dict(zip(moe.named_experts_, ["#0072B2", "#E69F00"], strict=True))
speaks_for = [
    routing["expert" if parts[name] > 0 else "runner_up"] for name in columns
]
colours = ["0.6", *[palette[name] for name in speaks_for], "0.3"]
bars = axes[0].barh(list(parts), list(parts.values()), color=colours)
axes[0].bar_label(bars, fmt="%+.2f", padding=3)
axes[0].axvline(0, color="0.3", linewidth=1)
axes[0].margins(x=0.18)
axes[0].invert_yaxis()
against = f"{routing['expert']} against {routing['runner_up']}"
axes[0].set_xlabel(f"log-odds of {against}")

GateRegionsDisplay.from_estimator(moe, X, columns, ax=axes[1])
here = X[columns].iloc[169]
there = here + patient["change"]
axes[1].set(
    xlabel="body mass index (kg/m²)", ylabel="logarithm of serum triglycerides"
)
axes[1].annotate(
    "", there, here, arrowprops={"arrowstyle": "-|>", "linewidth": 2}, zorder=4
)
axes[1].plot(*here, "o", color="black", markersize=9, zorder=5)
axes[1].set_title(
    f"nearest border: {border['distance']:.2f} standard deviations away"
)
plt.show()

# %%
# The change in words, in units of the features:

changes = ", ".join(f"{name} {patient['change', name]:+.2f}" for name in columns)
print(f"{routing['expert']} now; as probable as {border['expert']} after {changes}")
