"""Mixtures of experts on four real data sets, against the usual ways to combine models.

Run it with ``make demo`` or ``python examples/demo.py``; it takes a minute or two
on two cores and downloads nothing. It prints

1. held-out losses of mixtures, single models, voting and stacking, with standard errors,
2. who answers for how many rows, and whether the gate earns its keep (`lift_`, `shared_weight_`),
3. whether a saved model predicts the same bits in a fresh process,

and draws a picture of it (with the extra ``plot``). Nothing is tuned: every model has one setting,
and every loss is that of rows which the model was not fitted on.
"""

import subprocess
import sys
import time
import warnings
from pathlib import Path

import joblib
import numpy as np
from sklearn import datasets
from sklearn.base import clone, is_classifier
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor

OUTPUT = Path("build") / "demo"
N_SPLITS = 3
N_DIGITS = 900
N_FORESTS, N_TREES = 2, 50  # a mixture of two forests has as many trees as the one forest
POOL, LINEAR = "mixture of the pool", "mixture of linear"
COUNTERPARTS = {
    "mixture of forests": "one forest",
    LINEAR: "one linear model",
    POOL: "stacking of the pool",
}
GATE_COLUMNS = ["bmi", "s5"]


# ---------------------------------------------------------------------------------------- models


def scaled(model):
    """A model that sees standardised features."""
    return make_pipeline(StandardScaler(), model)


def classification_models():
    """All models that are compared on a classification set, by name."""
    forest = RandomForestClassifier(random_state=0)
    linear = scaled(LogisticRegression(max_iter=1000))
    pool = [
        ("forest", forest),
        ("boosting", HistGradientBoostingClassifier(random_state=0)),
        ("linear", linear),
        ("k-NN", scaled(KNeighborsClassifier(15))),
    ]
    return {
        "one forest": forest,
        "one linear model": linear,
        "voting of the pool": VotingClassifier(pool, voting="soft"),
        "stacking of the pool": StackingClassifier(pool),
        # A named overlap spares the forests the trial of four; the other settings are defaults.
        "mixture of forests": MixtureOfExpertsClassifier(
            RandomForestClassifier(N_TREES),
            n_experts=N_FORESTS,
            overlap=0.1,
            e_step="oob",
            random_state=0,
        ),
        LINEAR: MixtureOfExpertsClassifier(linear, random_state=0),
        POOL: MixtureOfExpertsClassifier(pool, random_state=0),
    }


def regression_models():
    """All models that are compared on a regression set, by name."""
    forest = RandomForestRegressor(random_state=0)
    linear = scaled(RidgeCV())
    pool = [
        ("forest", forest),
        ("boosting", HistGradientBoostingRegressor(random_state=0)),
        ("linear", linear),
        ("k-NN", scaled(KNeighborsRegressor(15))),
    ]
    return {
        "one forest": forest,
        "one linear model": linear,
        "voting of the pool": VotingRegressor(pool),
        "stacking of the pool": StackingRegressor(pool),
        # A named overlap spares the forests the trial of four; the other settings are defaults.
        "mixture of forests": MixtureOfExpertsRegressor(
            RandomForestRegressor(N_TREES),
            n_experts=N_FORESTS,
            overlap=0.1,
            e_step="oob",
            random_state=0,
        ),
        LINEAR: MixtureOfExpertsRegressor(linear, random_state=0),
        POOL: MixtureOfExpertsRegressor(pool, random_state=0),
    }


def problems():
    """The data sets: name, features, target, models."""
    X, y = datasets.load_breast_cancer(return_X_y=True)
    yield "breast cancer", X, y, classification_models()
    X, y = datasets.load_wine(return_X_y=True)
    yield "wine", X, y, classification_models()
    # Is the digit in the picture even? Five shapes on either side: chosen because it has regimes.
    X, digit = datasets.load_digits(return_X_y=True)
    rows = np.random.default_rng(0).permutation(len(X))[:N_DIGITS]
    yield "even digits", X[rows], digit[rows] % 2, classification_models()
    X, y = datasets.load_diabetes(return_X_y=True, scaled=False)
    yield "diabetes", X, y, regression_models()


# ------------------------------------------------------------------------------------ comparison


def fit_one(model, X, y):
    """Fit a clone; returns it, the seconds, and whether it complained of too few iterations."""
    started = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = clone(model).fit(X, y)
    unfinished = any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
    return model, time.perf_counter() - started, unfinished


def judge_one(model, X, y, train, test):
    """Fit on the rows `train`; losses on the rows `test`, and whether each is classified right."""
    model, seconds, unfinished = fit_one(model, X[train], y[train])
    if not is_classifier(model):
        error = y[test] - model.predict(X[test])
        return error**2, np.full(len(test), np.nan), seconds, unfinished
    proba = model.predict_proba(X[test])
    column = np.searchsorted(model.classes_, y[test])
    own = proba[np.arange(len(test)), column]
    # As sklearn.metrics.log_loss does it: a probability of 0 counts as the smallest step from 1.
    loss = -np.log(np.clip(own, np.finfo(float).eps, 1.0))
    return loss, proba.argmax(axis=1) == column, seconds, unfinished


def compare(name, X, y, models, parallel):
    """Cross-validate all models on the same folds.

    Returns, for each model, the loss of each row, the accuracy, and the median of the seconds of
    a fit.
    """
    first = next(iter(models.values()))
    folds = StratifiedKFold if is_classifier(first) else KFold
    splits = list(folds(N_SPLITS, shuffle=True, random_state=0).split(X, y))
    results = {}
    for label, model in models.items():
        started = time.perf_counter()
        judged = parallel(joblib.delayed(judge_one)(model, X, y, *split) for split in splits)
        loss, right = np.zeros(len(y)), np.zeros(len(y))
        for (_, test), (row_loss, row_right, _, _) in zip(splits, judged, strict=True):
            loss[test], right[test] = row_loss, row_right
        results[label] = {
            "loss": loss,
            "accuracy": right.mean(),
            "seconds": np.median([seconds for _, _, seconds, _ in judged]),
        }
        unfinished = sum(flag for *_, flag in judged)
        print(
            f"  {name:<14} {label:<21} {time.perf_counter() - started:5.1f} s"
            + (f"   {unfinished} of {len(splits)} fits stopped at max_iter" if unfinished else ""),
            flush=True,
        )
    return results


def figure_of(loss, regression):
    """The figure that is reported and each row's influence on it: mean log-loss, or RMSE.

    The standard error of the figure is that of the mean of the influences (for the RMSE, by
    linearisation), and so is that of the difference of two figures. Rows are the units, since
    the folds share training rows; how much a figure would change with other training rows is
    not in it.
    """
    if not regression:
        return loss.mean(), loss
    rmse = np.sqrt(loss.mean())
    return rmse, loss / (2 * rmse)


def standard_error(influence):
    return influence.std(ddof=1) / np.sqrt(len(influence))


def summarise(results):
    """Add figure and standard error to each result; returns the name of the best peer."""
    regression = np.isnan(results["one forest"]["accuracy"])
    for result in results.values():
        result["figure"], result["influence"] = figure_of(result["loss"], regression)
        result["se"] = standard_error(result["influence"])
    best = min((m for m in results if m not in COUNTERPARTS), key=lambda m: results[m]["figure"])
    for result in results.values():
        result["paired_se"] = difference(result, results[best])[1]
    return best


def print_table(name, results, best):
    regression = np.isnan(results["one forest"]["accuracy"])
    metric = "RMSE" if regression else "log-loss"
    rows = len(results[best]["loss"])
    print(f"\n{name}: {rows} rows, {N_SPLITS} folds, smaller is better")
    print(
        f"  {'model':<21} {metric:>8}    SE   difference to the best peer   "
        f"{'' if regression else 'accuracy   '}seconds a fit"
    )
    digits = 2 if regression else 4
    for label, result in results.items():
        gap, gap_se = difference(result, results[best])
        to_best = f"{gap:+.{digits}f} ± {gap_se:.{digits}f}"
        accuracy = "" if regression else f"{result['accuracy']:8.3f}   "
        print(
            f"  {label:<21} {result['figure']:8.{digits}f} {result['se']:6.{digits}f}"
            f"   {'(the best peer)' if label == best else to_best:>27}   "
            f"{accuracy}{result['seconds']:13.2f}"
        )


def difference(one, other):
    """Difference of two figures on the same rows, and its standard error."""
    return one["figure"] - other["figure"], standard_error(one["influence"] - other["influence"])


def verdict(one, other):
    """A model against another, with two standard errors as the measure."""
    gap, se = difference(one, other)
    return "level" if abs(gap) <= 2 * se else "better" if gap < 0 else "worse"


def print_counterparts(all_results):
    """Each mixture against what its user would otherwise have taken."""
    print("\nEach mixture against its counterpart (two standard errors count as a difference)")
    for mixture, other in COUNTERPARTS.items():
        for name, results in all_results.items():
            gap, se = difference(results[mixture], results[other])
            relative = gap / results[other]["figure"]
            print(
                f"  {name:<14} {mixture:<20} {relative:+5.0%}  ({gap:+.3f} ± {se:.3f}): "
                f"{verdict(results[mixture], results[other])}"
            )


def headline(all_results):
    """A line on each mixture, for the title of the picture."""
    lines = []
    for mixture, other in COUNTERPARTS.items():
        where = {}
        for name, results in all_results.items():
            where.setdefault(verdict(results[mixture], results[other]), []).append(name)
        parts = [f"{word} on {', '.join(names)}" for word, names in sorted(where.items())]
        lines.append(f"{mixture} against {other}: {'; '.join(parts)}")
    return "\n".join(lines)


# ---------------------------------------------------------------------------------- a saved model

REPLAY = """
import sys, joblib, numpy as np
saved = joblib.load(sys.argv[1])
for name, (model, X, expected) in saved.items():
    predict = getattr(model, "predict_proba", model.predict)
    same = predict(X).tobytes() == expected.tobytes()
    print(f"  {name:<14} {len(X):4d} rows: {'bit-identical' if same else 'DIFFERENT'}")
    if not same:
        sys.exit(1)
"""


def check_saved(models, problem_data):
    """Save the models, load them in a fresh process and compare predictions; 0 if identical."""
    path = OUTPUT / "models.joblib"
    saved = {}
    for name, model in models.items():
        X = problem_data[name][0]
        saved[name] = model, X, getattr(model, "predict_proba", model.predict)(X)
    joblib.dump(saved, path)
    print(f"\nSaved to {path}, loaded in a fresh process:", flush=True)
    return subprocess.run([sys.executable, "-c", REPLAY, str(path)]).returncode


# ------------------------------------------------------------------------------------------- all


def main():
    started = time.perf_counter()
    OUTPUT.mkdir(parents=True, exist_ok=True)
    cores = joblib.cpu_count()
    print(f"Fitting on {cores} cores; seconds are those of all folds of a model.")
    all_results, best_peers, problem_data, fitted = {}, {}, {}, {}
    # Each worker keeps to one thread, so that the models do not contend for the cores.
    with joblib.Parallel(n_jobs=cores) as parallel:
        for name, X, y, models in problems():
            problem_data[name] = X, y
            all_results[name] = compare(name, X, y, models, parallel)
            best_peers[name] = summarise(all_results[name])
            labels = [POOL, LINEAR]
            mixtures = parallel(joblib.delayed(fit_one)(models[label], X, y) for label in labels)
            fitted[name] = {m: model for m, (model, _, _) in zip(labels, mixtures, strict=True)}
        two_linear = MixtureOfExpertsRegressor(
            scaled(RidgeCV()), n_experts=2, gate_features=GATE_COLUMNS, random_state=0
        )
        frame, y = datasets.load_diabetes(return_X_y=True, as_frame=True, scaled=False)
        [(regions, _, _)] = parallel([joblib.delayed(fit_one)(two_linear, frame, y)])

    for name, results in all_results.items():
        print_table(name, results, best_peers[name])
    print(
        "\nA peer is any model above the mixtures; the best is chosen by the losses shown, which "
        "flatters it.\nLog-loss counts a probability of 0 as 2e-16: a forest that says 0 and errs "
        "pays for it."
    )
    print_counterparts(all_results)

    print(
        "\nWhom does the gate of the pool trust (fitted on all rows), and does that help?\n"
        "Beside the gate there is a consensus of all experts, a stack with a forest of its own;\n"
        "where that is all of the prediction, the lift is its own."
    )
    for name, models in fitted.items():
        print(f"\n{name}\n{models[POOL].utilization_}\n{models[POOL].lift_}")
        consensus = models[POOL].shared_weight_
        print(
            f"The prediction is {consensus:.0%} the consensus of all and {1 - consensus:.0%} this."
        )

    failed = check_saved({name: m[POOL] for name, m in fitted.items()}, problem_data)
    try:
        from _demo_picture import draw
    except ImportError:
        print("\nNo picture: matplotlib is missing; pip install 'skmoe[plot]' brings it.")
    else:
        draw(all_results, fitted, (regions, frame, y), headline(all_results), OUTPUT / "demo.png")
        print(f"\nPicture: {OUTPUT / 'demo.png'}")
    print(f"{time.perf_counter() - started:.0f} seconds in all.")
    return failed


if __name__ == "__main__":
    sys.exit(main())
