"""
A guard for the days when routing does not help
===============================================

Beside its experts a mixture trains a *shared expert*; for clones of one estimator
it is one more clone, fitted to all rows. How much it counts is decided on held-out
rows and told by ``shared_weight_`` (dashed). Curves show what each weight would
have given on new rows: on the left of a panel the mixture of three ridge
regressions alone, on the right one ridge regression. Where there are regimes the
mixture gets most of the weight, where there are none little of it, and where there
are too few rows to tell, the truth lies between.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import Ridge
from sklearn.metrics import root_mean_squared_error

from skmoe import MixtureOfExpertsRegressor
from skmoe.datasets import make_piecewise_regression

problems = {
    "three regimes, 300 rows": (300, {"n_regimes": 3}),
    "three regimes, 100 rows, much noise": (100, {"n_regimes": 3, "noise": 1.0}),
    "no regimes, 100 rows, much noise": (100, {"n_regimes": 1, "noise": 1.0}),
}
weights = np.linspace(0, 1, 41)

# %%
# Three problems. `predict_experts` and `gate_proba` have what it takes to compute
# what any other weight would have given.

figure, axes = plt.subplots(
    1, 3, figsize=(13, 4), sharey=True, layout="constrained"
)
chosen, errors = [], []
for ax, (title, (n_rows, settings)) in zip(axes, problems.items(), strict=True):
    X, y = make_piecewise_regression(
        2000 + n_rows, n_features=8, return_X_y=True, random_state=0, **settings
    )
    X, X_new, y, y_new = X[:n_rows], X[n_rows:], y[:n_rows], y[n_rows:]
    moe = MixtureOfExpertsRegressor(
        Ridge(), n_experts=3, overlap=0.0, init="leaves", random_state=0
    ).fit(X, y)
    mixed = np.sum(moe.gate_proba(X_new) * moe.predict_experts(X_new), axis=1)
    alone = Ridge().fit(X, y).predict(X_new)
    error = [
        root_mean_squared_error(y_new, (1 - w) * mixed + w * alone) for w in weights
    ]
    chosen.append(moe.shared_weight_)
    errors.append(
        [error[0], root_mean_squared_error(y_new, moe.predict(X_new)), error[-1]]
    )
    ax.plot(weights, error, color="#0072B2")
    ax.plot(chosen[-1], errors[-1][1], "o", color="#D55E00")
    ax.axvline(
        chosen[-1],
        color="#D55E00",
        linestyle="--",
        label=f"shared_weight_ = {chosen[-1]:.2f}",
    )
    ax.set(title=title, xlabel="weight of the shared expert")
    ax.legend(loc="lower right")
axes[0].set_ylabel("error on new rows (RMSE)")
plt.show()
