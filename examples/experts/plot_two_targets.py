"""
A number and a class with one gate
==================================

Two mixtures that share the gate of the target that tells more of the regimes.

A number follows another line in each of three regimes; a class says, with much
noise, whether it is high. A number tells more than a class: from 300 rows its
mixture finds the regimes, that of the class finds them less well. So the mixture of
the class starts from the responsibilities of the other one and keeps its gate as it
is. `KnownGate` is all that takes: a gate that is not fitted again. Both targets are
then explained by the same regimes, too.
"""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.datasets import make_piecewise_regression
from skmoe.gates import BaseGate


class KnownGate(BaseGate):
    """A gate that was fitted elsewhere, frozen so that `clone` leaves it alone."""

    def __init__(self, gate):
        self.gate = gate

    def fit(self, X, R, sample_weight=None):
        self.n_experts_ = np.shape(R)[1]
        return self

    def predict_log_proba(self, X):
        return self.gate.predict_log_proba(X)


# %%
# Three draws of the problem, with 300 rows to train on and 2,000 new ones:

settings = {
    "n_experts": 3,
    "overlap": 0.0,
    "shared_expert": None,
    "max_iter": 200,
    "random_state": 0,
}
losses = {}
for seed in range(3):
    problem = make_piecewise_regression(
        2300, n_regimes=3, noise=0.3, random_state=seed
    )
    X, number, regime = problem.X, problem.y, problem.regime
    noise = np.random.default_rng(seed).normal(size=len(X))
    label = np.where(
        number + noise > np.array([-0.5, 0.0, 0.5])[regime], "high", "low"
    )
    train, test = slice(0, 300), slice(300, None)

    of_number = MixtureOfExpertsRegressor(Ridge(), n_init=3, **settings)
    of_number.fit(X[train], number[train])
    sharing = MixtureOfExpertsClassifier(
        LogisticRegression(),
        gate=KnownGate(FrozenEstimator(of_number.gate_)),
        init=of_number.responsibilities(X[train], number[train]),
        **settings,
    )
    models = {
        "one model": LogisticRegression(),
        "a gate of its own": MixtureOfExpertsClassifier(
            LogisticRegression(), n_init=3, **settings
        ),
        "the number's gate": sharing,
    }
    losses[f"draw {seed}"] = {
        name: log_loss(
            label[test], model.fit(X[train], label[train]).predict_proba(X[test])
        )
        for name, model in models.items()
    }

# %%
# Less is better; the axis does not begin at 0.

losses = pd.DataFrame(losses).T
print(losses.round(3))
losses.plot.bar(
    figsize=(6, 3.5),
    rot=0,
    color=["0.6", "#D55E00", "#0072B2"],
    ylabel="log-loss of the class, new rows",
    ylim=(0.3, None),
)
plt.tight_layout()
plt.show()
