"""
How sure is it?
===============

A mixture of experts predicts a distribution, not only a mean. Here the noise grows
on the right, and on the left the target has two branches that no feature tells
apart. Top left: the median and central intervals of 50, 80 and 95 % while the
feature varies. Top right: three rows. On the left the distribution has two modes,
which one normal distribution around the mean could not show.

Bottom: does it keep what it promises? Of intervals that are to hold 80 % of the
targets, 80 % should. ``density="mixture"`` is the density that EM learns, with one
constant scale for each expert. ``density="auto"``, the default, is learned from the
errors of held-out rows; it knows where they are large, and how they are
distributed. The histogram would be flat if all were right.
"""

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
    scale = np.where(x < 0, 0.2, 0.2 + 0.5 * np.abs(x))
    noise = scale * rng.standard_normal(n_samples)
    return x[:, np.newaxis], np.sin(2 * x) + branch + noise


X, y = draw(1000, seed=0)
X_new, y_new = draw(1500, seed=1)
experts = [
    ("boosting", HistGradientBoostingRegressor(max_iter=50, random_state=0)),
    ("neighbours", KNeighborsRegressor(20)),
    ("line", Ridge()),
]
models = {
    density: MixtureOfExpertsRegressor(experts, density=density, random_state=0)
    for density in ("auto", "mixture")
}

# %%
# Two mixtures of the same experts, with either density:

figure, axes = plt.subplots(2, 2, figsize=(11, 8.5), layout="constrained")
moe, em = (model.fit(X, y) for model in models.values())
DensityDisplay.from_estimator(
    moe, X_new[:400], y_new[:400], feature=0, ax=axes[0, 0]
)
chosen = np.array([[-1.0], [0.2], [1.8]])
densities = DensityDisplay.from_estimator(moe, chosen, ax=axes[0, 1])
axes[0, 1].legend(densities.lines_, ["x = -1", "x = 0.2", "x = 1.8"])

colours = {"auto": "#0072B2", "mixture": "#D55E00"}
for name, model in models.items():
    curve = DensityCalibrationDisplay.from_estimator(
        model, X_new, y_new, name=name, ax=axes[1, 0]
    )
    curve.line_.set_color(colours[name])
axes[1, 0].legend()
DensityCalibrationDisplay.from_estimator(
    moe, X_new, y_new, kind="pit", name="auto", ax=axes[1, 1]
)
plt.show()

# %%
# Scores say the same in numbers: less is better for the first two, and 0.9 is right
# for the third.

scores = {}
for name, model in models.items():
    distribution = model.predict_distribution(X_new)
    scores[name] = (
        crps(y_new, distribution),
        interval_score(y_new, distribution),
        coverage(y_new, distribution),
    )
    text = "{}: CRPS {:.3f}, interval score {:.2f}, coverage {:.3f}"
    print(text.format(name, *scores[name]))
