"""
How sure the gate is
====================

Each row of the picture is a row of the data, sorted by its most probable expert.
Where regimes have sharp borders (left) most rows have one expert; what is shared
lies near a border, and the top expert alone is nearly as good. Where regimes
overlap (right) many rows are shared, and the mean over the experts is worth its
price.
"""

import matplotlib.pyplot as plt
from sklearn.linear_model import Ridge

from skmoe import MixtureOfExpertsRegressor
from skmoe.datasets import make_piecewise_regression
from skmoe.inspection import RoutingHeatmapDisplay

# %%
# The same four regimes twice, with sharp borders and with borders 0.6 wide.

figure, axes = plt.subplots(1, 2, figsize=(10, 5), layout="constrained")
loss_of_top_1 = []
for ax, overlap in zip(axes, (0.0, 0.6), strict=True):
    X, y = make_piecewise_regression(
        2400,
        n_features=3,
        n_regimes=4,
        overlap=overlap,
        return_X_y=True,
        random_state=1,
    )
    moe = MixtureOfExpertsRegressor(
        Ridge(),
        n_experts=4,
        overlap=0.0,
        init="leaves",
        max_iter=60,
        random_state=0,
    )
    moe.fit(X[:1200], y[:1200])
    RoutingHeatmapDisplay.from_estimator(moe, X[1200:], ax=ax)
    all_experts = moe.score(X[1200:], y[1200:])
    one_expert = moe.set_params(top_k=1).score(X[1200:], y[1200:])
    loss_of_top_1.append(all_experts - one_expert)
    name = "regimes that overlap" if overlap else "sharp borders"
    ax.set_title(
        f"{name}\nR² {all_experts:.2f}, of the top expert alone {one_expert:.2f}"
    )
plt.show()
