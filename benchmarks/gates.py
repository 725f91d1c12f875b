"""Does another gate than the softmax gate help, and what does its M-step cost?

Mixtures of four linear experts that differ in nothing but the gate. Printed for each data set:
the gain in log-likelihood per test row over the mixture with `SoftmaxGate`, paired over random
splits, with the standard error over these; the ratio of the losses (root mean squared error, or
log-loss); and the ratio of the times of one M-step from a cold start, on the responsibilities
of the softmax mixture, best of three. Protocol: at most 1,500 training and 5,000 test rows,
columns encoded and targets scaled by what the training part shows, overlap=0.1, other settings at
their defaults. ``sectors`` are drawn anew for each seed: 16 sectors of a plane among five
features, with as many experts.

    python benchmarks/gates.py [--data FOLDER] [--seeds 5] [--names concrete sectors]
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
from _data import DATA, Split, load_split, tasks
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures
from sklearn.tree import DecisionTreeClassifier

from skmoe import (
    ClassifierGate,
    CosineGate,
    GaussianGate,
    HierarchicalGate,
    MixtureOfExpertsClassifier,
    MixtureOfExpertsRegressor,
    SoftmaxGate,
)
from skmoe.datasets import make_piecewise_regression

NAMES = ("concrete", "kin8nm", "phoneme", "sectors")
TRAIN_ROWS = 1500
GATES = {
    "softmax": SoftmaxGate(),
    "softmax, alpha auto": SoftmaxGate("auto"),
    "softmax, balance": SoftmaxGate(balance=0.1),
    "softmax, z-loss": SoftmaxGate(z_loss=0.001),
    "gaussian, tied": GaussianGate(),
    "gaussian, diagonal": GaussianGate("diag"),
    "hierarchical": HierarchicalGate(),
    "cosine": CosineGate(),
    "tree": ClassifierGate(DecisionTreeClassifier(min_samples_leaf=20)),
    "quadratic": ClassifierGate(
        make_pipeline(PolynomialFeatures(2), LogisticRegression(max_iter=300))
    ),
    "30 neighbours": ClassifierGate(KNeighborsClassifier(30)),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder with datasets.json")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--names", nargs="+", choices=NAMES, default=NAMES, help="data sets")
    options = parser.parse_args()
    print(f"{'data':10} {'gate':20} {'gain in log-likelihood':>24} {'loss':>7} {'M-step':>8}")
    for name in options.names:
        results = [measure(options.data, name, seed) for seed in range(options.seeds)]
        for gate in GATES:
            report(name, gate, results)


def report(name, gate, results):
    gains = np.array(
        [result[gate]["likelihood"] - result["softmax"]["likelihood"] for result in results]
    )
    losses = np.mean(
        [np.log(result[gate]["loss"] / result["softmax"]["loss"]) for result in results]
    )
    times = np.median(
        [result[gate]["seconds"] / result["softmax"]["seconds"] for result in results]
    )
    error = gains.std(ddof=1) / np.sqrt(len(gains))
    print(
        f"{name:10} {gate:20} {gains.mean():+15.3f} ± {error:5.3f} {np.exp(losses):8.3f} "
        f"{times:8.2f}",
        flush=True,
    )


def measure(folder, name, seed):
    """Log-likelihood, loss and seconds of each gate on one split."""
    split, task = draw(folder, name, seed)
    regression = task == "regression"
    mixture = MixtureOfExpertsRegressor if regression else MixtureOfExpertsClassifier
    expert = Ridge() if regression else LogisticRegression(max_iter=1000)
    n_experts = 16 if name == "sectors" else 4
    results, targets = {}, None
    for label, gate in GATES.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = mixture(
                expert,
                n_experts=n_experts,
                gate=gate,
                overlap=0.1,
                shared_expert=None,
                random_state=seed,
            ).fit(split.X, split.y)
            if targets is None:
                targets = model.responsibilities(split.X, split.y)
            seconds = min(timed(gate, split.X, targets) for _ in range(3))
        if regression:
            loss = np.sqrt(np.mean(np.square(split.y_test - model.predict(split.X_test))))
        else:
            loss = log_loss(split.y_test, model.predict_proba(split.X_test), labels=model.classes_)
        likelihood = model.log_density(split.X_test, split.y_test).mean()
        results[label] = {"likelihood": likelihood, "loss": loss, "seconds": seconds}
    return results


def draw(folder, name, seed):
    if name != "sectors":
        task = tasks(folder)[name]
        return load_split(folder, name, task, TRAIN_ROWS, seed), task
    data = make_piecewise_regression(
        TRAIN_ROWS + 5000, n_regimes=16, noise=0.3, random_state=seed, return_X_y=True
    )
    return Split(*(part for whole in data for part in np.split(whole, [TRAIN_ROWS]))), "regression"


def timed(gate, X, targets):
    gate = clone(gate)
    start = time.perf_counter()
    gate.fit(X, targets)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
