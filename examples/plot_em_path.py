"""
The course of EM, and whether to believe it
===========================================

Trees that almost memorise, as experts. Judged by the rows that they were trained on (left, the
classical algorithm) they seem excellent from the first iteration on; what new rows have to say of
the model is far below. Judged by rows that were held out (right, the default) the path says what
new rows confirm, and the mixture is the better one. Below, each expert's part.
"""

import warnings

import matplotlib.pyplot as plt
from sklearn.exceptions import ConvergenceWarning
from sklearn.tree import DecisionTreeRegressor

from skmoe import MixtureOfExpertsRegressor
from skmoe.datasets import make_piecewise_regression
from skmoe.inspection import EMPathDisplay

X, y = make_piecewise_regression(1200, n_regimes=3, noise=0.5, return_X_y=True, random_state=0)
X, X_new, y, y_new = X[:600], X[600:], y[:600], y[600:]
warnings.simplefilter("ignore", ConvergenceWarning)  # as many iterations as fit the picture

figure, axes = plt.subplots(2, 2, figsize=(10, 7), sharex="col", layout="constrained")
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
    column[0].axhline(delivered[e_step], color="black", linestyle=":", label="new rows")
    EMPathDisplay.from_estimator(moe, kind="expert_mass", ax=column[1])
    column[0].set(title=f'e_step="{e_step}"', xlabel="", ylim=(-2.5, 0))
    print(f"{e_step}: reported {moe.log_likelihood_:.2f}, on new rows {delivered[e_step]:.2f}")
axes[0, 0].get_legend().remove()
axes[0, 1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))  # beside, not on the lines
for legend in (ax.get_legend() for ax in axes[1]):
    if legend is not None:
        legend.remove()
axes[1, 1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
plt.show()
