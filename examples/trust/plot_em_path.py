"""
The course of EM, and whether to believe it
===========================================

Trees that almost memorise, as experts. Judged by the rows that they were trained on
(left, the classical algorithm) they seem excellent from the first iteration on;
what new rows have to say of the model is far below. Judged by rows that were held
out (right, the default) the path says what new rows confirm, and the mixture is the
better one. Below, each expert's part.
"""

import warnings

import matplotlib.pyplot as plt
from sklearn.exceptions import ConvergenceWarning
from sklearn.tree import DecisionTreeRegressor

from skmoe import MixtureOfExpertsRegressor
from skmoe.datasets import make_piecewise_regression
from skmoe.inspection import EMPathDisplay

X, y = make_piecewise_regression(
    1200, n_regimes=3, noise=0.5, return_X_y=True, random_state=0
)
X, X_new, y, y_new = X[:600], X[600:], y[:600], y[600:]

# As many iterations as fit the picture; the fit would say that there could be more.
warnings.simplefilter("ignore", ConvergenceWarning)

# %%
# The same trees and the same rows, twice. `EMPathDisplay` draws what ``history_``
# has kept; the dotted line is the mean log-density of 600 new rows.

figure, axes = plt.subplots(
    2, 2, figsize=(10, 7), sharex="col", layout="constrained"
)
delivered = {}
for column, e_step in zip(axes.T, ("insample", "crossfit"), strict=True):
    moe = MixtureOfExpertsRegressor(
        DecisionTreeRegressor(min_samples_leaf=5),
        n_experts=3,
        overlap=0.0,
        e_step=e_step,
        max_iter=12,
        random_state=0,
    ).fit(X, y)
    delivered[e_step] = moe.log_density(X_new, y_new).mean()
    EMPathDisplay.from_estimator(moe, ax=column[0])
    column[0].axhline(
        delivered[e_step], color="black", linestyle=":", label="new rows"
    )
    EMPathDisplay.from_estimator(moe, kind="expert_mass", ax=column[1])
    column[0].set(title=f'e_step="{e_step}"', xlabel="", ylim=(-2.5, 0))
    reported = moe.log_likelihood_
    print(f"{e_step}: reported {reported:.2f}, on new rows {delivered[e_step]:.2f}")
axes[0, 0].get_legend().remove()
beside = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}  # not on the lines
axes[0, 1].legend(**beside)
for legend in (ax.get_legend() for ax in axes[1]):
    if legend is not None:
        legend.remove()
axes[1, 1].legend(**beside)
plt.show()
