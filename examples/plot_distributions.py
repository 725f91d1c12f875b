"""
How sure is it?
===============

A mixture of experts predicts a distribution, not only a mean. Here the noise is larger on the
right, and on the left the target has two branches that no feature tells apart. The bands are
central intervals of 50, 80 and 95 %.
"""

# %%
# What a row is likely to be
# --------------------------
#
# The fan shows how the distribution changes with the feature. On the left it has two modes, which
# one normal distribution around the mean could not show; on the right it widens as the noise does.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsRegressor

from skmoe import MixtureOfExpertsRegressor
from skmoe.inspection import DensityCalibrationDisplay, DensityDisplay
from skmoe.metrics import coverage, crps, interval_score


def draw(n_samples, seed):
    rng = np.random.RandomState(seed)
    x = rng.uniform(-2, 2, n_samples)
    branch = np.where(x < 0, rng.choice([-1.0, 1.0], n_samples), 0.0)
    noise = rng.standard_normal(n_samples) * np.where(x < 0, 0.2, 0.2 + 0.5 * np.abs(x))
    return x[:, np.newaxis], np.sin(2 * x) + branch + noise


X, y = draw(1500, seed=0)
X_new, y_new = draw(1500, seed=1)
experts = [
    ("boosting", HistGradientBoostingRegressor(max_iter=50, random_state=0)),
    ("neighbours", KNeighborsRegressor(20)),
    ("line", Ridge()),
]
moe = MixtureOfExpertsRegressor(experts, random_state=0).fit(X, y)

figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
DensityDisplay.from_estimator(moe, X_new[:400], y_new[:400], feature=0, ax=left)
chosen = np.array([[-1.0], [0.2], [1.8]])
densities = DensityDisplay.from_estimator(moe, chosen, ax=right)
right.legend(densities.lines_, ["x = -1", "x = 0.2", "x = 1.8"])

# %%
# Does it keep what it promises?
# ------------------------------
#
# Of intervals that are to hold 80 % of the targets, 80 % should. ``density="mixture"`` is the
# density that EM learns: one constant scale for each expert. Learned from the errors of held-out
# rows, the density knows where they are large.

mixture = MixtureOfExpertsRegressor(experts, density="mixture", random_state=0).fit(X, y)
figure, axes = plt.subplots(1, 3, figsize=(14, 4.5), layout="constrained")
for model, name, ax in ((moe, "auto", axes[1]), (mixture, "mixture", axes[2])):
    DensityCalibrationDisplay.from_estimator(model, X_new, y_new, kind="pit", name=name, ax=ax)
curves = DensityCalibrationDisplay.from_estimator(moe, X_new, y_new, name="auto", ax=axes[0])
other = DensityCalibrationDisplay(
    pit=mixture.predict_distribution(X_new).cdf(y_new),
    weights=np.ones(len(y_new)),
    name="mixture",
)
other.plot(ax=axes[0]).line_.set_color("tab:orange")
axes[0].legend(loc="upper left")

# %%
# Scores say the same in numbers: lower is better for the first two, and 0.9 is right for the last.

for name, model in {"auto": moe, "mixture": mixture}.items():
    distribution = model.predict_distribution(X_new)
    print(
        f"{name:8s} CRPS {crps(y_new, distribution):.3f}, "
        f"interval score {interval_score(y_new, distribution):.2f}, "
        f"coverage {coverage(y_new, distribution):.3f}"
    )
