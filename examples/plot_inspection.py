"""Look into a mixture: six pictures, why a row went where it went, and whether new rows differ.

Two linear experts predict the progression of diabetes; the gate sees body mass and blood fat.
"""

from pathlib import Path

import matplotlib.pyplot as plt
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
from sklearn.model_selection import train_test_split

from skmoe import GaussianGate, MixtureOfExpertsRegressor
from skmoe.inspection import (
    EMPathDisplay,
    GateRegionsDisplay,
    ReliabilityDisplay,
    RoutingHeatmapDisplay,
    UtilizationDisplay,
    expert_report,
    explain_routing,
    routing_drift,
)

X, y = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
X = X.rename(columns={"s5": "log_triglycerides"})
X, X_new, y, y_new = train_test_split(X, y, random_state=0)
columns = ["bmi", "log_triglycerides"]

# The Gaussian gate knows where its rows lie, so that drift of the features shows, too.
moe = MixtureOfExpertsRegressor(
    Ridge(), n_experts=2, gate=GaussianGate(), gate_features=columns, share=0.1, random_state=0
).fit(X, y)

print(expert_report(moe, X_new, y_new).round(2).to_string())

patient = explain_routing(moe, X_new, X_reference=X).iloc[0]
routing, border = patient["routing"], patient["border"]
print(f"\nthe first new patient goes to {routing['expert']}, log-odds {routing['log_odds']:.2f}:")
print(f"  {'average patient':18} {routing['baseline']:+.2f}")
for name in columns:
    print(f"  {name:18} {patient['contribution', name]:+.2f}")
changes = ", ".join(f"{name} {patient['change', name]:+.1f}" for name in columns)
print(f"  nearest border, to {border['expert']}: {changes}")

print("\nnew patients against those in training:")
print(routing_drift(moe, X, X_new))
heavier = X_new.assign(bmi=X_new["bmi"] + 8)
print("\nif all were heavier by 8 kg/m²:")
print(routing_drift(moe, X, heavier))

figure, axes = plt.subplots(2, 3, figsize=(16, 9), layout="constrained")
EMPathDisplay.from_estimator(moe, ax=axes[0, 0])
EMPathDisplay.from_estimator(moe, kind="expert_share", ax=axes[0, 1])
UtilizationDisplay.from_estimator(moe, heavier, ax=axes[0, 2])
GateRegionsDisplay.from_estimator(moe, X, columns, ax=axes[1, 0])
RoutingHeatmapDisplay.from_estimator(moe, X_new, ax=axes[1, 1])
ReliabilityDisplay.from_estimator(moe, X_new, y_new, ax=axes[1, 2])
output = Path("examples/output/inspection.png")
output.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(output, dpi=120)
print(f"\npicture: {output}")
plt.show()  # does nothing where there is no display
