"""A default fit of copies beside one model of the same total size: the part ``copies`` of cost.py.

Four copies of a tree stand beside one, and so do as many copies of a linear model as a default fit
chooses, or four ("four linear"); four forests of 40 trees, or boosted models of 100 rounds, beside
one of 160 or 400. Splits and losses are those of ``accuracy.py``.
Seconds of the one model are the fewest of several fits, those of the mixture of one; the first
fit, which loads compiled code, is not counted. Every warning that a fit gives its user is counted.
"""

import time
import warnings

import numpy as np
import pandas as pd
from _data import load_split, tasks
from _methods import N_COPIES, copies, single

KINDS = ("linear", "four linear", "tree", "forest", "boosting")

SETS = {
    "regression": ["concrete", "kin8nm", "california_housing", "yacht"],
    "classification": ["titanic", "phoneme", "peterson_barney_vowels", "ionosphere"],
}
"""Data sets that are used unless others are named."""

BOOSTED_SETS = ["concrete", "kin8nm", "phoneme"]
"""The same for boosting, which takes longest."""

LABELS = {"regression": "ridge", "classification": "logistic"}
"""What linear experts are called, which differ in cost by the task."""


def measure(options):
    """A table with a row for each kind of expert and data set."""
    kinds = tasks(options.data)
    rows = []
    print(
        f"{'experts':15}{'data':26}{'seconds':>9}{'of one':>9}{'multiple':>10}{'loss':>9}"
        f"{'of one':>9}{'ratio':>8}{'warnings':>10}"
    )
    for kind in options.kinds:
        for name in options.sets or _sets(kind, kinds):
            row = _measured(kind, name, kinds[name], options, warm=bool(rows))
            rows.append(row)
            print(
                f"{row['experts']:15}{name:26}{row['seconds']:9.2f}{row['one_seconds']:9.4f}"
                f"{row['seconds'] / row['one_seconds']:10.1f}{row['loss']:9.4f}"
                f"{row['one_loss']:9.4f}{row['loss'] / row['one_loss']:8.3f}{row['warnings']:10d}",
                flush=True,
            )
            if options.csv:
                pd.DataFrame([row]).to_csv(
                    options.csv, mode="a", header=not options.csv.exists(), index=False
                )
    return pd.DataFrame(rows)


def report(table, against):
    """Geometric means for each kind of expert; with a table of before, ratios to that."""
    for experts, own in table.groupby("experts", sort=False):
        multiple = _mean(own["seconds"] / own["one_seconds"])
        print(
            f"{experts}: {multiple:.1f} times the seconds of one model, "
            f"{_mean(own['loss'] / own['one_loss']):.3f} of its loss, "
            f"{own['warnings'].sum()} warnings in {len(own)} fits"
        )
    if against is None:
        return
    before = pd.read_csv(against)
    both = table.merge(before, on=["experts", "data", "seed", "rows"], suffixes=("", "_before"))
    for experts, own in both.groupby("experts", sort=False):
        seconds, loss = own["seconds"] / own["seconds_before"], own["loss"] / own["loss_before"]
        print(
            f"{experts}, {len(own)} sets, beside before: seconds {_mean(seconds):.3f} "
            f"(at most {seconds.max():.3f}), loss {_mean(loss):.4f} "
            f"(at most {loss.max():.4f}, {own['data'][loss.idxmax()]})"
        )


def _sets(kind, known):
    """The data sets to use, of those there are."""
    chosen = BOOSTED_SETS if kind == "boosting" else sum(SETS.values(), [])
    return [name for name in chosen if name in known] or list(known)


def _mean(ratios):
    return float(np.exp(np.log(ratios).mean()))


def _measured(kind, name, task, options, warm):
    """Seconds, losses and warnings of one fit."""
    seed, rows = options.seed, options.rows
    X, X_test, y, y_test = load_split(options.data, name, task, rows, seed)
    if not warm:
        copies(task, seed, "linear").fit(X[:200], y[:200])
    linear = kind.endswith("linear")
    one = single(task, seed, "linear" if linear else kind, size=N_COPIES)
    mixture = copies(task, seed, "linear" if linear else kind)
    if kind == "four linear":
        mixture.set_params(n_experts=N_COPIES)
    repeats = 20 if linear or kind == "tree" else 2
    one_seconds = min(seconds_of(one, X, y) for _ in range(repeats))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        seconds = seconds_of(mixture, X, y)
    for each in caught:
        print(f"  {name}: {each.category.__name__}: {each.message}")
    return {
        "experts": kind.replace("linear", LABELS[task]),
        "data": name,
        "seed": seed,
        "rows": rows,
        "seconds": seconds,
        "one_seconds": one_seconds,
        "loss": loss_of(mixture, X_test, y_test, task),
        "one_loss": loss_of(one, X_test, y_test, task),
        "warnings": len(caught),
    }


def seconds_of(model, X, y):
    started = time.process_time()
    model.fit(X, y)
    return time.process_time() - started


def loss_of(model, X, y, task):
    """Root mean squared error, or log-loss with probabilities clipped at 1e-6."""
    if task == "regression":
        return float(np.sqrt(np.mean((y - np.ravel(model.predict(X))) ** 2)))
    proba = np.clip(model.predict_proba(X), 1e-6, 1.0)
    own = proba[np.arange(len(y)), np.searchsorted(model.classes_, y)] / proba.sum(axis=1)
    return float(-np.log(own).mean())
