"""Do flexible experts find known regimes, and do they do harm where there are none?

Problems with regimes: that of a public fork of a boosting library which does EM inside boosting
("two formulas"), and others; and without: smooth functions of all features. Each is drawn anew
for each seed; the last fifth of the rows is for testing. Experts are boosted models of 100 rounds
or forests of 40 trees, as many as there are regimes (two where there are none). Rivals: an
ensemble of the same size (as many boosted models on bootstrap samples, averaged; one forest with
all the trees), and the same experts told the true regimes of all rows, test rows included.
"leaves" is the mixture without scouts. Loss is the RMSE, or the log-loss of classes; "right" the
part of the test rows that the gate sends where most of their regime goes; seconds are the
processor's, on one thread. The first fit, which loads compiled code, is not counted.

    python benchmarks/regimes.py [--experts boosting forests] [--problems NAME ...] [--seeds 3]
"""

import argparse
import time
import warnings
from typing import NamedTuple

import numpy as np
from _generators import KnownRegimes
from sklearn.datasets import make_friedman1
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.metrics import log_loss, root_mean_squared_error
from threadpoolctl import threadpool_limits

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor

ROWS, ROUNDS, TREES = 2000, 100, 40
FIRST_SEED = 42


class Problem(NamedTuple):
    """Rows with their regimes; all the same where there are none."""

    X: np.ndarray
    y: np.ndarray
    regime: np.ndarray


def two_formulas(rng):
    """Two formulas with interactions, parted by a plane."""
    X = rng.normal(size=(ROWS, 5))
    regime = 0.5 * X[:, 1] + 0.3 * X[:, 2] - 0.2 * X[:, 3] > 0
    one = 5 * X[:, 0] + 3 * X[:, 0] * X[:, 2] + 2 * np.sin(2 * X[:, 3]) + 10
    other = -5 * X[:, 0] - 2 * X[:, 1] ** 2 + 3 * np.cos(2 * X[:, 4]) - 10
    return Problem(X, np.where(regime, one, other) + 0.5 * rng.normal(size=ROWS), regime * 1)


def three_sectors(rng):
    """Three linear formulas, each with a sine, parted by parallel planes."""
    X = rng.normal(size=(ROWS, 5))
    regime = np.digitize(X[:, 0] + X[:, 1], [-0.8, 0.8])
    slopes = np.array([[3.0, -2, 1, 0, 0], [-3, 2, 0, 2, 0], [0, 0, -3, 0, 3]])
    y = (X * slopes[regime]).sum(axis=1) + 2 * np.sin(3 * X[:, 4]) + 0.3 * rng.normal(size=ROWS)
    return Problem(X, y, regime)


def in_and_out(rng):
    """Opposite slopes inside and outside of a circle: a gate of degree 2."""
    X = rng.normal(size=(ROWS, 5))
    regime = X[:, 0] ** 2 + X[:, 1] ** 2 > 1.4
    y = np.where(regime, 1, -1) * (3 * X[:, 2] + 2 * X[:, 3] + X[:, 2] * X[:, 4])
    return Problem(X, y + 0.3 * rng.normal(size=ROWS), regime * 1)


def two_rules(rng):
    """Two classes, told by one rule or by its contrary."""
    X = rng.normal(size=(ROWS, 5))
    regime = X[:, 0] - 0.5 * X[:, 1] > 0
    logits = np.where(regime, 4, -4) * (X[:, 2] + X[:, 3] + 0.5 * np.sin(3 * X[:, 4]))
    return Problem(X, (rng.uniform(size=ROWS) < 1 / (1 + np.exp(-logits))) * 1, regime * 1)


def friedman(rng):
    """Friedman's first function: smooth, without regimes."""
    X, y = make_friedman1(ROWS, n_features=8, noise=1.0, random_state=rng.integers(2**31))
    return Problem(X, y, np.zeros(ROWS, dtype=int))


def waves(rng):
    """A sum of waves and products, without regimes."""
    X = rng.normal(size=(ROWS, 5))
    y = np.sin(2 * X).sum(axis=1) + X[:, 0] * X[:, 1] + X[:, 2] + 0.5 * rng.normal(size=ROWS)
    return Problem(X, y, np.zeros(ROWS, dtype=int))


PROBLEMS = {
    "two formulas": two_formulas,
    "three sectors": three_sectors,
    "in and out": in_and_out,
    "two rules": two_rules,
    "none: friedman": friedman,
    "none: waves": waves,
}


def expert(kind, classes, n_experts=1):
    """An expert; a forest of as many times the trees."""
    if kind == "forests":
        forest = RandomForestClassifier if classes else RandomForestRegressor
        return forest(TREES * n_experts, random_state=0)
    boosting = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
    return boosting(max_iter=ROUNDS, random_state=0)


def rivals(kind, problem, train, with_leaves):
    """Name -> model, not fitted."""
    classes = problem.y.dtype.kind == "i"
    n_regimes = len(np.unique(problem.regime))
    n_experts = max(n_regimes, 2)
    mixture = MixtureOfExpertsClassifier if classes else MixtureOfExpertsRegressor
    own = expert(kind, classes)
    models = {}
    if n_regimes > 1:
        models["told"] = KnownRegimes(own, problem.regime[:train], problem.regime[train:])
    if kind == "forests":
        models["ensemble"] = expert(kind, classes, n_experts)
    else:
        bagging = BaggingClassifier if classes else BaggingRegressor
        models["ensemble"] = bagging(own, n_experts, random_state=0)
    models["mixture"] = mixture(own, n_experts=n_experts, random_state=0)
    if with_leaves:
        models["leaves"] = mixture(own, n_experts=n_experts, init="leaves", random_state=0)
    return models


def loss_of(model, X, y):
    """RMSE, or log-loss."""
    if y.dtype.kind == "i":
        return log_loss(y, model.predict_proba(X))
    return root_mean_squared_error(y, model.predict(X))


def rightly_routed(model, X, regime):
    """Part of the rows whose top expert is that of most rows of their regime."""
    top = model.gate_proba(X).argmax(axis=1)
    return sum(np.bincount(top[regime == k]).max() for k in np.unique(regime)) / len(regime)


def measured(problem, kind, with_leaves):
    """Name -> loss, processor seconds, part routed rightly (NaN without regimes or gate)."""
    train = ROWS * 4 // 5
    figures = {}
    for name, model in rivals(kind, problem, train, with_leaves).items():
        started = time.process_time()
        model.fit(problem.X[:train], problem.y[:train])
        seconds = time.process_time() - started
        X, y, regime = (part[train:] for part in problem)
        routes = hasattr(model, "gate_proba") and len(np.unique(regime)) > 1
        right = rightly_routed(model, X, regime) if routes else np.nan
        figures[name] = (loss_of(model, X, y), seconds, right)
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experts", nargs="+", choices=["boosting", "forests"])
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS, metavar="NAME")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--leaves", action="store_true", help="also without scouts")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    threadpool_limits(1)
    MixtureOfExpertsRegressor(n_experts=2).fit(*two_formulas(np.random.default_rng(0))[:2])
    print(
        f"{'problem':17}{'experts':10}{'model':10}{'loss':>8}{'+-':>7}{'/ ensemble':>12}", end=""
    )
    print(f"{'right':>8}{'seconds':>9}{'x ensemble':>12}")
    for name in options.problems or PROBLEMS:
        for kind in options.experts or ("boosting", "forests"):
            runs = []
            for seed in range(FIRST_SEED, FIRST_SEED + options.seeds):
                problem = PROBLEMS[name](np.random.default_rng(seed))
                runs.append(measured(problem, kind, options.leaves))
            report(name, kind, runs)


def report(problem, kind, runs):
    """A line for each model."""
    base = np.array([run["ensemble"] for run in runs])
    for model in runs[0]:
        own = np.array([run[model] for run in runs])
        loss, seconds, right = own.mean(axis=0)
        ratio = np.exp(np.log(own[:, :2] / base[:, :2]).mean(axis=0))
        print(
            f"{problem:17}{kind:10}{model:10}{loss:8.3f}{own[:, 0].std():7.3f}{ratio[0]:12.3f}"
            f"{right:8.3f}{seconds:9.2f}{ratio[1]:12.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
