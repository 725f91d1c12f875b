"""
Where each expert answers
=========================

Three linear experts predict the progression of diabetes. On the left the gate sees
body mass and blood fat, and the picture is all there is to it. On the right it sees
all ten features: the background holds the other eight at their median, and points
that lie in a region of another colour are patients who differ from the median
there.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge

from skmoe import MixtureOfExpertsRegressor
from skmoe.inspection import GateRegionsDisplay

X, y = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
X = X.rename(columns={"s5": "log_triglycerides"})
pair = ["bmi", "log_triglycerides"]

# %%
# Both gates are trained on the same patients; the gain that each reports is one on
# rows that were held out.

figure, axes = plt.subplots(1, 2, figsize=(12, 5.2), layout="constrained")
for ax, columns in zip(axes, (pair, None), strict=True):
    moe = MixtureOfExpertsRegressor(
        Ridge(),
        n_experts=3,
        gate_features=columns,
        overlap=0.1,
        max_iter=100,
        random_state=0,
    ).fit(X, y)
    GateRegionsDisplay.from_estimator(moe, X, pair, ax=ax)
    ax.set_title(
        "the gate sees these two features" if columns else "the gate sees all ten"
    )
    ax.set(
        xlabel="body mass index (kg/m²)", ylabel="logarithm of serum triglycerides"
    )
    print(f"gate with {len(columns or X.columns)} features: {moe.lift_}")
plt.show()
