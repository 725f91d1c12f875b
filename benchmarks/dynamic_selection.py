"""Sparse mixtures beside dynamic selection (DESlib's KNORA-E and META-DES) of the same experts.

Run ``python benchmarks/dynamic_selection.py [--quick]`` where DESlib runs: its last release,
0.3.7, needs scikit-learn 1.6 or older. Both evaluate all experts for every row and look for its
nearest neighbours among labelled rows; the mixture with top_k=1 asks its gate and one expert.
Each ratio is that of the times for the same rows in the same process, on one thread. See
README.md.
"""

import argparse
import warnings

import numpy as np
from _data import DATA, load_split, tasks
from _serving import (
    EXPERTS,
    compile_kernels,
    dynamic_selections,
    dynamic_selections_of,
    mixture,
    problem,
    row,
    seconds,
    table,
)
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

from skmoe import MixtureOfExpertsClassifier

N_EXPERTS = 16
HEADS = (
    "rows", "thousand rows/s", "accuracy", "KNORA-E", "times", "META-DES", "times",
)  # fmt: skip


def regimes(numbers_of_experts, batches, repeats):
    """The problem of serving.py, whose experts know one regime each."""
    print("\nRegimes; accuracy of each method, and how many times quicker top_k=1 is\n")
    table("experts", "K", *HEADS)
    for kind in EXPERTS:
        for n_experts in numbers_of_experts:
            rivals = dynamic_selections(kind, n_experts)
            model = mixture(kind, n_experts).set_params(top_k=1)
            for batch in batches:
                X, y, _ = problem(n_experts, batch, 4)
                row(kind, n_experts, *compared(model, rivals, X, y, repeats))


def real_sets(names, repeats):
    """Open sets, 1,500 training rows: experts trained by the mixture, and bagged trees."""
    print("\nOpen data sets, 16 experts; likewise\n")
    table("set", "pool", *HEADS)
    for name in names:
        X, X_test, y, y_test = load_split(DATA, name, "classification", 1500, 0)
        for pool, (model, X_labelled, y_labelled) in {
            "mixture's forests": own_pool(X, y),
            "bagged trees": bagged_pool(X, y),
        }.items():
            experts = [
                e.estimator if isinstance(e, FrozenEstimator) else e for e in model.experts_
            ]
            rivals = dynamic_selections_of(experts, X_labelled, y_labelled)
            row(name, pool, *compared(model, rivals, X_test, y_test, repeats))


def own_pool(X, y):
    """Forests as the mixture trains them; neighbours are sought among the training rows."""
    forest = RandomForestClassifier(10, min_samples_leaf=3)
    model = MixtureOfExpertsClassifier(
        forest, n_experts=N_EXPERTS, e_step="oob", max_iter=3, top_k=1, random_state=0
    )
    return fitted(model, X, y), X, y


def bagged_pool(X, y):
    """What DESlib is made for: half of the rows train the pool, the others are to select by.

    The mixture has the same pool and learns its gate from those others.
    """
    half = len(X) // 2
    bag = BaggingClassifier(DecisionTreeClassifier(), N_EXPERTS, random_state=0)
    trees = bag.fit(X[:half], y[:half]).estimators_
    for tree in trees:  # fitted with codes of the classes
        tree.classes_ = bag.classes_[tree.classes_.astype(int)]
    experts = [(f"tree{k}", FrozenEstimator(tree)) for k, tree in enumerate(trees)]
    model = MixtureOfExpertsClassifier(experts, max_iter=10, top_k=1, random_state=0)
    return fitted(model, X[half:], y[half:]), X[half:], y[half:]


def fitted(model, X, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(X, y)


def compared(model, rivals, X, y, repeats):
    """Cells of a line, in the order of `HEADS`."""

    def accuracy(method):
        return f"{np.mean(method.predict(X) == y):.3f}" if len(X) > 1 else "-"

    ours = seconds(lambda: model.predict(X), repeats)
    cells = [len(X), f"{len(X) / ours / 1e3:.1f}", accuracy(model)]
    for rival in rivals.values():
        theirs = seconds(lambda rival=rival: rival.predict(X), repeats)
        cells += [accuracy(rival), f"{theirs / ours:.1f}"]
    return cells


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer experts, rows and sets")
    quick = parser.parse_args().quick
    repeats = 1 if quick else 3
    with threadpool_limits(1):
        compile_kernels()
        if not dynamic_selections("linear", 4):
            print("DESlib is not available here")
            return
        regimes((4, 16) if quick else (4, 16, 64), (1, 100, 2000 if quick else 10_000), repeats)
        if DATA.is_dir():
            names = [name for name, task in tasks(DATA).items() if task == "classification"]
            real_sets(names[:2] if quick else names, repeats)


if __name__ == "__main__":
    main()
