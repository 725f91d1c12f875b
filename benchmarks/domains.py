"""Experts that know different parts of the world: what joins them best, with how many rows?

Four boosted models, each trained on one domain of a data set and frozen. A few labelled rows of
all domains are left to join them, and the domain of a new row is told to nobody. Domains are
clusters or the levels of a column; with ``--alike`` they are random quarters of the rows, so that
the experts hardly differ and routing can only do harm. Protocol: 4,000 rows for the experts (half
of a smaller set), then the first 50, 100, 400, 1,600 of the rows that follow, up to 4,000 other
rows for testing; losses are RMSE or log-loss (probabilities clipped at 1e-6), as multiples of that
of scikit-learn's stacking of the same frozen models; everything with its defaults.

    python benchmarks/domains.py [--data FOLDER] [--seeds 5] [--rows 50 100 400 1600] [--alike]
    python benchmarks/domains.py --quick
    python benchmarks/domains.py --report       # the tables and the figure of what is there

Results are appended to ``build/domains/results.csv`` as they come. DESlib's selectors need the
package ``deslib`` and scikit-learn 1.6: ``--selectors`` adds them to the same file, in an
environment of their own.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from _data import DATA
from _domains import boosting, load_case, rules
from _figures import draw_domains
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    StackingClassifier,
    StackingRegressor,
)
from threadpoolctl import threadpool_limits

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor

SMALLEST = 1e-6
MIXTURE = "skmoe"
STACKING = "stacking"
KEYS = ["case", "alike", "seed", "rows", "method"]


class Outputs:
    """What each expert says of rows: means (n, K), or class probabilities (n, K, C)."""

    def __init__(self, case):
        self.regression = case.task == "regression"
        self.n_classes = 0 if self.regression else int(max(case.y.max(), case.y_test.max())) + 1
        self.experts = [expert for _, expert in case.experts]

    def of(self, model, X):
        """What one model says."""
        if self.regression:
            return model.predict(X)
        proba = np.zeros((len(X), max(self.n_classes, int(max(model.classes_)) + 1)))
        proba[:, np.asarray(model.classes_, dtype=int)] = model.predict_proba(X)
        return proba[:, : self.n_classes]

    def each(self, X):
        """What all of them say, one after the other."""
        return [self.of(expert, X) for expert in self.experts]


def loss(predicted, y):
    """RMSE, or log-loss."""
    if predicted.ndim == 1:
        return float(np.sqrt(np.mean((y - predicted) ** 2)))
    proba = np.clip(predicted, SMALLEST, 1.0)
    proba /= proba.sum(axis=1, keepdims=True)
    return float(-np.log(proba[np.arange(len(y)), y]).mean())


def mixture(case):
    kind = MixtureOfExpertsClassifier
    if case.task == "regression":
        kind = MixtureOfExpertsRegressor
    return kind(case.experts, random_state=0)


def stacking(case):
    if case.task == "regression":
        return StackingRegressor(case.experts, cv="prefit")
    return StackingClassifier(case.experts, cv="prefit")


def passthrough(case):
    """Extra trees that see the experts' opinions and the features."""
    if case.task == "regression":
        trees = ExtraTreesRegressor(min_samples_leaf=2, random_state=0)
        return StackingRegressor(case.experts, trees, cv="prefit", passthrough=True)
    trees = ExtraTreesClassifier(min_samples_leaf=2, random_state=0)
    return StackingClassifier(case.experts, trees, cv="prefit", passthrough=True)


METHODS = {
    MIXTURE: mixture,
    STACKING: stacking,
    "stacking, trees with passthrough": passthrough,
}
"""Name -> what makes an unfitted model for a case."""


def convex_weights(outputs, y):
    """Constant weights of the experts with the smallest loss, by exponentiated gradient steps."""
    outputs = np.stack(outputs, axis=1)
    weights = np.full(outputs.shape[1], 1.0 / outputs.shape[1])
    if outputs.ndim == 3:
        density = np.maximum(outputs[np.arange(len(y)), :, y], SMALLEST)
        for _ in range(500):  # EM of the mixing weights
            posterior = density * weights
            weights = (posterior / posterior.sum(axis=1, keepdims=True)).mean(axis=0)
        return weights
    rate = 1.0 / max(np.square(outputs - outputs.mean()).mean(), 1e-12)
    for _ in range(2000):
        residual = outputs @ weights - y
        weights = weights * np.exp(-rate * (residual @ outputs) / len(y))
        weights /= weights.sum()
    return weights


def combined(outputs, weights):
    return np.tensordot(weights, np.stack(outputs), axes=1)


def measure(case, n_rows):
    """Pairs (method, {loss, seconds}) with the first rows of a case."""
    says = Outputs(case)
    X, y = case.X[:n_rows], case.y[:n_rows]
    held, tested = says.each(X), says.each(case.X_test)
    singles = [loss(each, y) for each in held]
    best = int(np.argmin(singles))
    fixed = {
        "best single": tested[best],
        "uniform average": np.mean(tested, axis=0),
        "constant weights": combined(tested, convex_weights(held, y)),
        "told the domain": np.stack(tested, axis=1)[np.arange(len(case.y_test)), case.domain_test],
    }
    for name, predicted in fixed.items():
        yield name, {"loss": loss(predicted, case.y_test), "seconds": 0.0}
    one = boosting(case.task).fit(case.X_experts, case.y_experts)
    yield (
        "one model of all rows",
        {"loss": loss(says.of(one, case.X_test), case.y_test), "seconds": 0.0},
    )
    for name, make in METHODS.items():
        started = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = make(case).fit(X, y)
        seconds = time.perf_counter() - started
        yield name, {"loss": loss(says.of(model, case.X_test), case.y_test), "seconds": seconds}
        if name == MIXTURE:  # which is trained alike, however many are asked
            found = loss(says.of(model.set_params(top_k=1), case.X_test), case.y_test)
            yield f"{name}, top_k=1", {"loss": found, "seconds": seconds}


def measure_selectors(case, n_rows):
    """The same for DESlib's, of classifiers."""
    from deslib.des import KNORAE, METADES

    if case.task == "regression":
        return
    says = Outputs(case)
    X, y = case.X[:n_rows], case.y[:n_rows]
    for name, kind in {"DESlib KNORA-E": KNORAE, "DESlib META-DES": METADES}.items():
        started = time.perf_counter()
        try:
            # DESlib looks for predict_proba by name, which a FrozenEstimator has by delegation.
            models = [frozen.estimator for frozen in says.experts]
            model = kind(models, voting="soft", random_state=0).fit(X, y)
            found = loss(says.of(model, case.X_test), case.y_test)
        except Exception as error:  # few rows, or an expert that lacks a class
            print(f"  {name}: {error}")
            continue
        yield name, {"loss": found, "seconds": time.perf_counter() - started}


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DATA, help="folder with datasets.json")
    parser.add_argument("--output", type=Path, default=Path("build/domains"))
    parser.add_argument("--alike", action="store_true", help="domains that hardly differ")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rows", type=int, nargs="+", default=[50, 100, 400, 1600])
    parser.add_argument("--selectors", action="store_true", help="DESlib's, and nothing else")
    parser.add_argument("--quick", action="store_true", help="one seed, 400 rows")
    parser.add_argument("--report", action="store_true", help="compute nothing")
    options = parser.parse_args()
    if options.quick:
        options.seeds, options.rows = 1, [400]
    return options


def compute(options, path):
    """Append what is not there yet."""
    done = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=KEYS)
    done = done[done["method"].astype(str).str.startswith("DESlib") == options.selectors]
    there = set(zip(done["case"], done["alike"], done["seed"], done["rows"], strict=True))
    measured = measure_selectors if options.selectors else measure
    for rule in rules(options.data, options.alike):
        for seed in range(options.seeds):
            missing = [n for n in options.rows if (str(rule), options.alike, seed, n) not in there]
            if not missing:
                continue
            case = load_case(options.data, rule, seed)
            for n_rows in missing:
                key = {"case": str(rule), "alike": options.alike, "seed": seed, "rows": n_rows}
                rows = [key | {"method": name} | own for name, own in measured(case, n_rows)]
                table = pd.DataFrame(rows, columns=[*KEYS, "loss", "seconds"])
                table.to_csv(path, mode="a", header=not path.exists(), index=False)
                print(f"{rule}, seed {seed}, {n_rows} rows", flush=True)


def ratios(results, rival):
    """Loss over that of a rival on the same rows: the geometric mean of the seeds of each case."""
    pivot = results.pivot_table("loss", ["case", "rows", "seed"], "method")
    logs = np.log(pivot.div(pivot[rival], axis=0))
    return np.exp(logs.groupby(["case", "rows"]).mean())


def report(path, folder):
    """Print the tables, and draw loss against calibration rows."""
    results = pd.read_csv(path)
    for alike, own in results.groupby("alike"):
        title = "domains that hardly differ" if alike else "domains that differ"
        for rival in (STACKING, "constant weights"):
            table = ratios(own, rival)
            mean = np.exp(np.log(table).groupby("rows").mean()).T
            worst = table.groupby("rows").max().T
            print(f"\n{title}: loss / {rival}, geometric mean of the cases (worst case)")
            print(
                (mean.round(3).astype(str) + " (" + worst.round(2).astype(str) + ")").to_string()
            )
        for other in ("stacking, trees with passthrough", "constant weights"):
            print(f"\n{title}: skmoe / the better of stacking and {other}, per case")
            print(results_of_best(own, [STACKING, other]).round(3).to_string())
        print(f"\n{title}: skmoe / stacking, case by case")
        print(ratios(own, STACKING)[MIXTURE].unstack("rows").round(2).to_string())
    draw_domains(results, STACKING, folder / "domains.png")
    print(f"\n{folder}: results.csv, domains.png")


def results_of_best(results, rivals):
    """Geometric mean and worst case against the best of some rivals on the same rows."""
    pivot = results.pivot_table("loss", ["case", "rows", "seed"], "method")
    better = pivot[rivals].min(axis=1)
    logs = np.log(pivot[MIXTURE] / better).groupby(["case", "rows"]).mean()
    cases = np.exp(logs).groupby("rows")
    return pd.DataFrame({"mean": np.exp(logs.groupby("rows").mean()), "worst": cases.max()})


def main():
    options = arguments()
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / "results.csv"
    if not options.report:
        with threadpool_limits(1):
            compute(options, path)
    report(path, options.output)


if __name__ == "__main__":
    main()
