"""
Why this expert?
================

The log-odds between the chosen expert and the runner-up are a baseline plus a contribution of each
feature (left). The nearest border is the smallest change, in standard deviations, after which
another expert is as probable (right). Both are exact, since a softmax gate is linear.
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
explanation = explain_routing(moe, X)
patient = explanation.iloc[169]
routing, border = patient["routing"], patient["border"]

figure, axes = plt.subplots(1, 2, figsize=(12, 5), width_ratios=(1, 1.2), layout="constrained")
parts = {"average patient": routing["baseline"], **patient["contribution"]}
parts["sum"] = routing["log_odds"]
colours = ["0.6", *["#0072B2" if parts[name] > 0 else "#E69F00" for name in columns], "0.3"]
bars = axes[0].barh(list(parts), list(parts.values()), color=colours)
axes[0].bar_label(bars, fmt="%+.2f", padding=3)
axes[0].axvline(0, color="0.3", linewidth=1)
axes[0].margins(x=0.18)
axes[0].invert_yaxis()
axes[0].set_xlabel(f"log-odds of {routing['expert']} against {routing['runner_up']}")

GateRegionsDisplay.from_estimator(moe, X, columns, ax=axes[1])
here = X[columns].iloc[169]
there = here + patient["change"]
axes[1].annotate("", there, here, arrowprops={"arrowstyle": "-|>", "linewidth": 2}, zorder=4)
axes[1].plot(*here, "o", color="black", markersize=9, zorder=5)
axes[1].set_title(f"nearest border: {border['distance']:.2f} standard deviations away")
plt.show()

changes = ", ".join(f"{name} {patient['change', name]:+.2f}" for name in columns)
print(f"{routing['expert']} now; as probable as {border['expert']} after {changes}")
