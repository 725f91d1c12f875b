"""What prediction costs: throughput and latency of sparse mixtures, beside ensembles and DESlib.

Run ``python benchmarks/serving.py [--quick] [--only PART]`` with OMP_NUM_THREADS=1. All models
of a line share the same fitted experts, one per regime of a synthetic problem, and are timed in
the same run; each figure is a median. DESlib is measured where it is installed (its last release,
0.3.7, needs scikit-learn 1.6 or older). See README.md.
"""

import argparse
import time
import warnings
from functools import cache
from statistics import median

import numpy as np
from _data import DATA, load_split, tasks
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from skmoe import MixtureOfExpertsClassifier

N_FEATURES = 20
ROWS_PER_EXPERT = 2000
MOST_EVALUATIONS = 3_000_000  # rows times experts in one cell of the grid; slower ones say "-"


class Clock:
    """Seconds spent inside the experts' own `predict_proba`."""

    seconds = 0.0


class TimedForest(RandomForestClassifier):
    """Random forest, timed."""

    def predict_proba(self, X):
        started = time.perf_counter()
        proba = super().predict_proba(X)
        Clock.seconds += time.perf_counter() - started
        return proba


EXPERTS = {
    "linear": LogisticRegression(),
    "forest": TimedForest(50, random_state=0),
    "boosting": HistGradientBoostingClassifier(max_iter=50, random_state=0),
}


def problem(n_regimes, n_samples, seed):
    """Balanced regimes between linear borders, a linear rule of its own in each."""
    rules = np.random.default_rng(0)
    borders = rules.normal(size=(N_FEATURES, n_regimes))
    borders /= np.linalg.norm(borders, axis=0)
    slopes = rules.normal(size=(n_regimes, N_FEATURES))
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, N_FEATURES))
    regime = (X @ borders).argmax(axis=1)
    logit = 2 * np.einsum("nd,nd->n", X, slopes[regime])
    return X, (rng.uniform(size=n_samples) < 1 / (1 + np.exp(-logit))).astype(int), regime


@cache
def pool(kind, n_experts):
    """Fitted experts, one per regime, frozen."""
    X, y, regime = problem(n_experts, ROWS_PER_EXPERT * n_experts, 1)
    return [
        (f"e{k}", FrozenEstimator(clone_of(kind).fit(X[regime == k], y[regime == k])))
        for k in range(n_experts)
    ]


def clone_of(kind):
    template = EXPERTS[kind]
    return type(template)(**template.get_params())


@cache
def mixture(kind, n_experts):
    """A mixture of the pool: only the gate is learned."""
    X, y, regime = problem(n_experts, 200 * n_experts, 2)
    start = 0.9 * np.eye(n_experts)[regime] + 0.1 / n_experts
    model = MixtureOfExpertsClassifier(
        pool(kind, n_experts), init=start, max_iter=3, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y)


@cache
def ensembles(kind, n_experts):
    """The ensembles of scikit-learn, of the same pool."""
    X, y, _ = problem(n_experts, 200 * n_experts, 2)
    members = pool(kind, n_experts)
    return {
        "stacking": StackingClassifier(members, cv="prefit").fit(X, y),
        "voting": VotingClassifier(members, voting="soft").fit(X, y),
    }


@cache
def dynamic_selections(kind, n_experts):
    """DESlib's methods with the same pool; none where it is not installed or does not run."""
    try:
        from deslib.des import KNORAE, METADES
    except ImportError:
        return {}
    X, y, _ = problem(n_experts, 200 * n_experts, 2)
    experts = [expert.estimator for _, expert in pool(kind, n_experts)]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return {
                method.__name__: method(experts, random_state=0).fit(X, y)
                for method in (KNORAE, METADES)
            }
    except AttributeError as error:  # it uses methods that scikit-learn has removed
        print(f"DESlib does not run here: {error}")
        return {}


def seconds(call, repeats, at_least=0.05):
    """Median time of a call; short calls are timed in groups."""
    started = time.perf_counter()
    call()
    number = max(1, int(at_least / max(time.perf_counter() - started, 1e-7)))
    number = 1 if number == 1 else min(number, 200)
    runs = []
    for _ in range(repeats):
        started = time.perf_counter()
        for _ in range(number):
            call()
        runs.append((time.perf_counter() - started) / number)
    return median(runs)


def grid(numbers_of_experts, batches, repeats):
    """Rows per second (or the latency of one row) of all models."""
    names = ["top_k=1", "top_k=2", "dense", "stacking", "voting", "KNORAE", "METADES"]
    print("\nmicroseconds for one row; thousands of rows per second for more")
    print(f"{'experts':<9} {'K':>3} {'rows':>7} " + " ".join(f"{name:>9}" for name in names))
    for kind in EXPERTS:
        for n_experts in numbers_of_experts:
            for batch in batches:
                times = cell(kind, n_experts, batch, repeats)
                shown = [figure(times.get(name), batch) for name in names]
                print(f"{kind:<9} {n_experts:>3} {batch:>7} " + " ".join(shown), flush=True)


def cell(kind, n_experts, batch, repeats):
    X, _, _ = problem(n_experts, batch, 3)
    model = mixture(kind, n_experts)
    times = {}
    for top_k, name in [(1, "top_k=1"), (2, "top_k=2"), (None, "dense")]:
        if kind != "forest" or batch * (top_k or n_experts) <= MOST_EVALUATIONS:
            model.set_params(top_k=top_k)
            times[name] = seconds(lambda: model.predict_proba(X), repeats)
    rivals = ensembles(kind, n_experts)
    if kind == "forest" and batch * n_experts > MOST_EVALUATIONS:
        rivals = {}
    if batch <= 100:
        rivals = {**rivals, **dynamic_selections(kind, n_experts)}
    for name, rival in rivals.items():
        times[name] = seconds(lambda rival=rival: rival.predict_proba(X), repeats)
    return times


def figure(time_taken, batch):
    if time_taken is None:
        return f"{'-':>9}"
    return f"{time_taken * 1e6:>9.0f}" if batch == 1 else f"{batch / time_taken / 1e3:>9.1f}"


def goal_throughput(n_samples, repeats):
    X, _, _ = problem(16, n_samples, 3)
    model = mixture("forest", 16)
    dense = seconds(lambda: model.set_params(top_k=None).predict_proba(X), 1)
    sparse = seconds(lambda: model.set_params(top_k=1).predict_proba(X), repeats)
    rows = np.bincount(model.apply(X), minlength=16)
    goal(
        f"top_k=1 against dense, 16 forests, {n_samples} rows "
        f"(share of an expert {rows.min() / n_samples:.3f}-{rows.max() / n_samples:.3f})",
        f"{dense / sparse:.1f} times",
        "at least 13.6 times",
        dense / sparse >= 0.85 * 16,
    )


def goal_overhead(n_samples, repeats):
    X, y, _ = problem(16, n_samples, 3)
    model = mixture("forest", 16).set_params(top_k=1)
    one = clone_of("forest").fit(*problem(16, 16 * ROWS_PER_EXPERT, 1)[:2])
    own, forest, product = [], [], []
    for _ in range(repeats):
        Clock.seconds = 0.0
        started = time.perf_counter()
        model.predict_proba(X)
        own.append(time.perf_counter() - started - Clock.seconds)
        forest.append(seconds(lambda: one.predict_proba(X), 1))
        product.append(seconds(lambda: X @ model.gate_.coef_.T, 1))
    part = median(a / b for a, b in zip(own, forest, strict=True))
    goal(
        f"all but the experts, K=16, {n_samples} rows, against a forest of 50 on all rows; "
        f"{median(a / b for a, b in zip(own, product, strict=True)):.1f} matrix products",
        f"{part:.1%}",
        "at most 5%",
        part <= 0.05,
    )


def goal_latency(repeats):
    X, y, _ = problem(16, 2000, 3)
    linear = LogisticRegression().fit(X, y)
    model = MixtureOfExpertsClassifier(n_experts=16, top_k=1, max_iter=2, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    row = X[:1]
    ratios = []
    for _ in range(max(repeats, 9)):  # in alternation
        ours = seconds(lambda: model.predict_proba(row), 3)
        ratios.append(ours / seconds(lambda: linear.predict_proba(row), 3))
    goal(
        "one row, top_k=1, 16 linear experts, against LogisticRegression",
        f"{median(ratios):.2f} times",
        "at most 1.5 times",
        median(ratios) <= 1.5,
    )


def goal_dynamic_selection(n_samples, repeats):
    X, y, _ = problem(16, n_samples, 4)
    model = mixture("forest", 16).set_params(top_k=1)
    ours = seconds(lambda: model.predict(X), repeats)
    accuracy = np.mean(model.predict(X) == y)
    if not dynamic_selections("forest", 16):
        print("DESlib is not available here: no figure for it")
    for name, rival in dynamic_selections("forest", 16).items():
        theirs, other = seconds(lambda rival=rival: rival.predict(X), 1), rival.predict(X)
        goal(
            f"against {name}, 16 forests, {len(X)} rows, accuracy {accuracy:.3f} against "
            f"{np.mean(other == y):.3f}",
            f"{theirs / ours:.0f} times",
            "at least 20 times",
            theirs / ours >= 20 and accuracy >= np.mean(other == y),
        )


def goal_max_error(n_samples):
    model = mixture("forest", 16)
    worst, experts = 0.0, []
    for seed in range(max(1, n_samples // 100_000)):
        X, _, _ = problem(16, min(n_samples, 100_000), 100 + seed)
        dense = model.set_params(top_k=None).predict_proba(X)
        error = 0.5 * np.abs(dense - model.predict_proba(X, max_error=0.01)).sum(axis=1)
        worst = max(worst, error.max())
        experts.append(model.route(X, max_error=0.01).experts_per_row.mean())
    goal(
        f"max_error=0.01, 16 forests, {n_samples} random rows, mean k {np.mean(experts):.2f}",
        f"largest error {worst:.5f}",
        "at most 0.01",
        worst <= 0.01 + 1e-14,
    )


def real_sets(folder, quick):
    """Mean k for max_error=0.01 on real data sets; 16 forests trained on 1,500 rows."""
    if not folder.is_dir():
        print(f"{folder} does not exist: no figures on real data")
        return
    names = [name for name, task in tasks(folder).items() if task == "classification"]
    for name in names[:2] if quick else names:
        X, X_test, y, y_test = load_split(folder, name, "classification", 1500, 0)
        forest = RandomForestClassifier(20, min_samples_leaf=3)
        model = MixtureOfExpertsClassifier(
            forest, n_experts=16, e_step="oob", max_iter=3, random_state=0
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(X, y)
        dense = model.predict_proba(X_test)
        bounded = model.predict_proba(X_test, max_error=0.01)
        per_row = model.route(X_test, max_error=0.01).experts_per_row
        error = 0.5 * np.abs(dense - bounded).sum(axis=1).max()
        print(
            f"{name:<26} mean k {per_row.mean():5.2f} of 16, largest error {error:.5f}, accuracy "
            f"{np.mean(model.classes_[bounded.argmax(axis=1)] == y_test):.3f} (all experts "
            f"{np.mean(model.classes_[dense.argmax(axis=1)] == y_test):.3f})",
            flush=True,
        )


def goal(label, measured, wanted, met):
    print(f"{'met   ' if met else 'MISSED'} {measured:<22} {wanted:<20} {label}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few minutes: less of everything")
    parser.add_argument("--only", choices=["grid", "goals"], help="one of the two parts")
    arguments = parser.parse_args()
    quick = arguments.quick
    repeats = 3 if quick else 5
    # The kernels are compiled, or loaded, before anything is timed.
    MixtureOfExpertsClassifier(DecisionTreeClassifier(), n_experts=2, top_k=1).fit(
        np.eye(20), np.arange(20) % 2
    ).predict_proba(np.eye(20))
    if arguments.only != "grid":
        print("goals, each ratio within this run")
        goal_latency(repeats)
        goal_overhead(100_000, repeats)
        goal_throughput(20_000 if quick else 100_000, repeats)
        goal_dynamic_selection(2000 if quick else 20_000, repeats)
        goal_max_error(100_000 if quick else 1_000_000)
        real_sets(DATA, quick)
    if arguments.only != "goals":
        grid((4, 16) if quick else (4, 16, 64), (1, 100, 10_000 if quick else 100_000), repeats)


if __name__ == "__main__":
    main()
