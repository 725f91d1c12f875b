"""Linear mixtures beside the classics of piecewise linear regression, and known regimes recovered.

Run ``python benchmarks/piecewise.py [--data FOLDER] [--sets yacht ...] [--rows 1500] [--seeds 2]
[--csv FILE]``; ``--only classes`` compares logistic mixtures with one logistic regression.
Rivals that are not installed are left out: ``pip install cubist fast-model-trees lightgbm pygam``
(Cubist is GPL: an extra of this benchmark and never of skmoe).
M5' (``m5py``) and ``linear-tree`` need scikit-learn 1.6 or older: run these in an environment of
their own, ``--methods "M5' tree" linear-tree``, with the same file. Rows of FILE are not computed
again, so that a table may be made bit by bit, by several environments. Figures are root mean
squared errors on test rows in standard deviations of the target, and processor seconds of fit.
"""

import argparse
import time
import warnings
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from _data import DATA, Unusable, load_split, tasks
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import adjusted_rand_score, log_loss

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.datasets import make_piecewise_regression

REFERENCE = "Cubist"
TO_READ = {"overlap": 0.0, "shared_expert": None}


class Pilot:
    """A PILOT tree with scikit-learn's names."""

    def fit(self, X, y):
        """Fit."""
        from pilot import PILOT

        self.tree = PILOT()
        self.tree.train(X, y)
        return self

    def predict(self, X):
        """Predict."""
        return self.tree.predict(X)


def mixtures(seed):
    """Linear mixtures: as they are by default, to be read, and not to be read at all."""
    return {
        "mixture": lambda: MixtureOfExpertsRegressor(Ridge(), random_state=seed),
        "mixture to read": lambda: MixtureOfExpertsRegressor(
            Ridge(), random_state=seed, **TO_READ
        ),
        "mixture of 4 to read": lambda: MixtureOfExpertsRegressor(
            Ridge(), n_experts=4, random_state=seed, **TO_READ
        ),
        "mixture with consensus": lambda: MixtureOfExpertsRegressor(
            Ridge(), shared_expert="consensus", random_state=seed
        ),
    }


def cubist(seed, n_committees=1, neighbors=None):
    """Cubist, with one set of rules or more."""
    from cubist import Cubist

    return Cubist(n_committees=n_committees, neighbors=neighbors, random_state=seed)


def pilot(seed):
    """A PILOT tree, if there is one to be had."""
    import pilot  # noqa: F401

    return Pilot()


def raffle(seed):
    """A forest of 100 PILOT trees."""
    from pilot import RaFFLE

    return RaFFLE(n_estimators=100, random_state=seed)


def m5(seed):
    """An M5' tree."""
    from m5py import M5Prime

    return M5Prime()


def linear_tree(seed):
    """A tree with linear leaves."""
    from lineartree import LinearTreeRegressor

    return LinearTreeRegressor(Ridge(), max_depth=3)


def lightgbm(seed):
    """Boosted trees with linear leaves."""
    from lightgbm import LGBMRegressor

    return LGBMRegressor(linear_tree=True, random_state=seed, n_jobs=1, verbose=-1)


def gam(seed):
    """An additive model."""
    from pygam import LinearGAM

    return LinearGAM()


def methods(seed):
    """What makes unfitted models, by name; it raises ImportError for rivals that are not there."""
    return mixtures(seed) | {
        REFERENCE: lambda: cubist(seed),
        "Cubist, 5 committees": lambda: cubist(seed, 5),
        "Cubist, 20 and 5 near": lambda: cubist(seed, 20, 5),
        "M5' tree": lambda: m5(seed),
        "PILOT": lambda: pilot(seed),
        "RaFFLE, 100 trees": lambda: raffle(seed),
        "linear-tree": lambda: linear_tree(seed),
        "LightGBM, linear leaves": lambda: lightgbm(seed),
        "additive model": lambda: gam(seed),
        "ridge": lambda: Ridge(),
        "boosting": lambda: HistGradientBoostingRegressor(random_state=seed),
    }


def n_parameters(model):
    """Coefficients of experts and gate, which a reader has to look at; NaN if not counted."""
    if isinstance(model, Ridge):
        return model.coef_.size + 1
    if not isinstance(model, MixtureOfExpertsRegressor):
        return np.nan
    gate = model.gate_
    experts = sum(np.size(expert.coef_) + 1 for expert in model.experts_)
    return experts + gate.coef_.size + gate.term_coef_.size + gate.intercept_.size


def measured(folder, name, seed, method, n_rows):
    """Figures of a method on a set; None if it does not run here."""
    try:
        split = load_split(folder, name, "regression", n_rows, seed)
        model = methods(seed)[method]()
        started = time.process_time()
        model.fit(split.X, split.y)
        seconds = time.process_time() - started
        error = np.sqrt(np.mean((model.predict(split.X_test) - split.y_test) ** 2))
    except Exception as error:  # a rival's
        print(f"{method} on {name}: {type(error).__name__}: {str(error)[:80]}", flush=True)
        return None
    n_experts = getattr(model, "n_experts_", np.nan)
    return error, seconds, n_parameters(model), n_experts


def compared(options):
    """Print errors of methods on open sets, their ratios to the reference, and seconds."""
    rows, known = [], {}
    if options.csv and options.csv.exists():
        frame = pd.read_csv(options.csv)
        known = {(row[0], row[1], row[2]): row for row in frame.itertuples(index=False)}
    sets = chosen(options, "regression")
    for name, seed in product(sets, range(options.seeds)):
        for method in options.methods or methods(seed):
            if (name, seed, method) in known:
                continue
            figures = measured(options.data, name, seed, method, options.rows)
            if figures is not None:
                rows.append((name, seed, method, *figures))
                known[name, seed, method] = rows[-1]
                if options.csv:
                    pd.DataFrame(known.values(), columns=COLUMNS).to_csv(options.csv, index=False)
    report(pd.DataFrame(known.values(), columns=COLUMNS), sets)


def chosen(options, task):
    """Names of the data sets of a task that were asked for, or of all in the folder."""
    known = [name for name, kind in tasks(options.data).items() if kind == task]
    return [name for name in known if options.sets is None or name in options.sets]


def compared_classes(options):
    """Print the log-loss of logistic mixtures beside that of one logistic regression."""
    print("\n| set | logistic mixture | one logistic regression | ratio | experts |")
    print("|---" * 5 + "|")
    ratios = []
    for name in chosen(options, "classification"):
        losses, numbers = [], []
        for seed in range(options.seeds):
            try:
                split = load_split(options.data, name, "classification", options.rows, seed)
            except Unusable as error:
                print(f"{name}: {error}", flush=True)
                continue
            linear = LogisticRegression(max_iter=1000)
            mixture = MixtureOfExpertsClassifier(linear, random_state=seed).fit(split.X, split.y)
            numbers.append(str(mixture.n_experts_))
            losses.append(
                [
                    log_loss(
                        split.y_test, model.predict_proba(split.X_test), labels=model.classes_
                    )
                    for model in (mixture, linear.fit(split.X, split.y))
                ]
            )
        if losses:
            ours, one = np.mean(losses, axis=0)
            ratios.append(ours / one)
            print(f"| {name} | {ours:.3f} | {one:.3f} | {ratios[-1]:.3f} | {' '.join(numbers)} |")
    if ratios:
        print(f"geometric mean {np.exp(np.mean(np.log(ratios))):.3f}, worst {max(ratios):.3f}")


COLUMNS = ("set", "seed", "method", "error", "seconds", "parameters", "experts")


def report(frame, names):
    """Print a line for each method."""
    frame = frame[frame["set"].isin(names)]
    print(
        "\n| method | " + " | ".join(names) + " | ratio | worst | seconds | parameters | experts |"
    )
    print("|---" * (len(names) + 6) + "|")
    keys = ["set", "seed"]
    reference = frame[frame["method"] == REFERENCE].set_index(keys)
    for method in dict.fromkeys([*methods(0), *frame["method"]]):
        own = frame[frame["method"] == method].set_index(keys)
        if own.empty:
            continue
        errors = own.groupby("set")["error"].mean()
        line = [method, *(f"{errors[name]:.3f}" if name in errors else "" for name in names)]
        ratios = (own["error"] / reference["error"]).groupby("set").mean().dropna()
        times = own["seconds"].sum() / reference["seconds"].reindex(own.index).sum()
        line += [f"{np.exp(np.log(ratios).mean()):.3f}", f"{ratios.max():.2f}", f"{times:.1f}"]
        line += [
            "" if np.isnan(each.mean()) else f"{each.mean():.0f}"
            for each in (own["parameters"], own["experts"])
        ]
        print("| " + " | ".join(line) + " |", flush=True)
    print("\nratio, worst: of errors to Cubist's, geometric mean and largest of the sets' means; ")
    print("seconds: of all sets, as a multiple of Cubist's")


def regimes(kind, n_rows, seed):
    """Features, target and regime: borders are oblique, steps, or cut an interval out."""
    if kind == "oblique":
        made = make_piecewise_regression(n_rows, n_regimes=3, random_state=seed)
        return made.X, made.y, made.regime
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, size=(n_rows, 5))
    high = np.abs(X[:, 0]) < 0.5 if kind == "interval" else X[:, 0] > 0
    regime = np.where(high, 1, np.where(X[:, 1] > 0.2, 2, 0))
    slopes = rng.normal(scale=3, size=(3, 5))
    y = np.sum(X * slopes[regime], axis=1) + 3 * regime + 0.1 * rng.normal(size=n_rows)
    return X, y, regime


def recovered(n_rows, n_seeds):
    """Print how well regimes of new rows are recovered: the adjusted Rand index, and how many."""
    print("\n| borders | mixture of 3 | of 3, to read | to read | experts of that |")
    print("|---|---|---|---|---|")
    for kind in ("oblique", "axis", "interval"):
        scores, numbers = [], []
        for seed in range(n_seeds):
            X, y, regime = regimes(kind, 2 * n_rows, seed)
            for parameters in ({"n_experts": 3}, {"n_experts": 3, **TO_READ}, TO_READ):
                model = MixtureOfExpertsRegressor(
                    LinearRegression(), random_state=seed, **parameters
                ).fit(X[:n_rows], y[:n_rows])
                scores.append(adjusted_rand_score(regime[n_rows:], model.apply(X[n_rows:])))
            numbers.append(str(model.n_experts_))
        means = np.reshape(scores, (n_seeds, 3)).mean(axis=0)
        figures = " | ".join(f"{mean:.3f}" for mean in means)
        print(f"| {kind} | {figures} | {' '.join(numbers)} |", flush=True)


def main():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder with datasets.json")
    parser.add_argument("--sets", nargs="+", metavar="NAME", help="data sets (all)")
    parser.add_argument("--methods", nargs="+", default=None)
    parser.add_argument("--rows", type=int, default=1500)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", choices=["sets", "classes", "regimes"])
    parser.add_argument("--csv", type=Path, help="figures so far, and to come")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.only in (None, "regimes"):
        recovered(2000, options.seeds)
    if options.only in (None, "classes"):
        compared_classes(options)
    if options.only in (None, "sets"):
        compared(options)


if __name__ == "__main__":
    main()
