"""Raw tables: is a mixture of experts by kind of column more accurate, and does it survive a gap?

Protocol: the data sets of the folder that have columns other than numbers; ``--splits`` random
splits with seeds 0, 1, ...; at most ``--rows`` training rows (1,500), and at most 2,000 rows for
testing, drawn as ``accuracy.py`` draws them. Every method gets the raw frame. Losses on the test
part are RMSE or log-loss (probabilities clipped at 1e-6):

- on the rows as they are;
- with one kind of column missing in every test row, for each kind that the table has, as
  ``skmoe.tables.column_kinds`` sees it; what counts is the mean over the kinds;
- with a value that training has not seen in one column of categories or strings of each test row,
  chosen at random.

Processor time of fitting is measured in one process with one thread. AutoGluon gets as many
seconds as `make_mixture` took on the same rows, whose result has to be in the file, times
``--slowdown``.

Results are appended to ``results.csv`` as they come; what it holds is not computed again. A method
whose package is not installed is left out and can be added in another environment.

    python benchmarks/tables.py [--sets NAME ...] [--methods NAME ...] [--splits 3] [--rows 1500]
    python benchmarks/tables.py --report        # the tables of what was computed before
"""

import argparse
import importlib.util
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from _data import DATA, _target, draw, tasks
from _table_methods import METHODS, PACKAGES
from threadpoolctl import threadpool_limits

from skmoe.tables import ColumnKinds, column_kinds

SEEN_KINDS = ("numeric", "code", "categorical", "dirty", "text", "datetime")
STRINGS = ("dirty", "text")
MAX_TEST_ROWS = 2000
KEYS = ["data", "method", "seed", "rows"]
COLUMNS = [*KEYS, "task", "strings", "loss", "blanked", "worst_blanked", "unseen",
           "cpu_seconds", "predict_seconds", "note"]  # fmt: skip
GOALS = [
    ("make_mixture", ["pool"], "loss", True, 0.93, 1.02),
    ("make_mixture", ["pool"], "loss", False, 0.985, 1.02),
    ("make_mixture", ["boosting", "linear", "CatBoost"], "loss", None, 0.93, 1.02),
    ("make_mixture", ["stacking"], "loss", None, 0.98, None),
    ("make_mixture", ["AutoGluon"], "loss", None, 0.95, None),
    ("robust", ["pool"], "blanked", None, 0.90, 1.02),
    ("robust", ["boosting, dropout"], "blanked", None, 0.80, 1.02),
    ("robust", ["make_mixture"], "loss", None, None, None),
    ("make_mixture", ["pool"], "cpu_seconds", None, 2.5, None),
]
"""Method, rivals (of several the best one of each data set in hindsight), figure, sets with
strings (None: all), largest geometric mean of the ratios, largest ratio."""


@dataclass
class Split:
    """Raw training and test rows; a regression target is in standard deviations of training."""

    task: str
    X: pd.DataFrame
    y: np.ndarray
    X_test: pd.DataFrame
    y_test: np.ndarray
    kinds: ColumnKinds
    seconds: float = np.nan


def load(folder, name, task, rows, seed):
    frame = pd.read_csv(Path(folder) / f"{name}.csv.gz", low_memory=False)
    y = _target(frame.pop("target"), task)
    frame, y = frame[y.notna()], y[y.notna()].to_numpy()
    if task == "classification":
        y = np.unique(y, return_inverse=True)[1]
    train, test = draw(y, task, rows, seed)
    test = test[:MAX_TEST_ROWS]
    y, y_test = y[train], y[test]
    if task == "regression":
        y, y_test = (y - y.mean()) / y.std(), (y_test - y.mean()) / y.std()
    X, X_test = (frame.iloc[part].reset_index(drop=True) for part in (train, test))
    return Split(task, X, y, X_test, y_test, column_kinds(X))


def loss(model, X, split):
    if split.task == "regression":
        return float(np.sqrt(np.mean(np.square(np.ravel(model.predict(X)) - split.y_test))))
    proba = np.clip(model.predict_proba(X), 1e-6, 1)
    proba /= proba.sum(axis=1, keepdims=True)
    return float(-np.log(proba[np.arange(len(X)), split.y_test]).mean())


def blanked(split, kind):
    columns = split.kinds.columns(kind)
    return split.X_test.assign(**{name: split.X_test[name].mask(np.full(len(split.y_test), True))
                                  for name in columns})  # fmt: skip


def with_unseen(split, seed):
    """One value of each row is new; None if there are no categories and no strings."""
    columns = split.kinds.columns("categorical", *STRINGS)
    if not columns:
        return None
    choice = np.random.RandomState(seed).randint(len(columns), size=len(split.y_test))
    X = split.X_test.copy()
    for number, name in enumerate(columns):
        X[name] = X[name].astype(object).mask(choice == number, "never before")
    return X


def compute(split, method, seed):
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        started = time.process_time()
        model = METHODS[method](split, seed).fit(split.X, split.y)
        row = {"cpu_seconds": time.process_time() - started}
        started = time.process_time()
        row["loss"] = loss(model, split.X_test, split)
        row["predict_seconds"] = time.process_time() - started
        kinds = [kind for kind in SEEN_KINDS if split.kinds.columns(kind)]
        missing = [loss(model, blanked(split, kind), split) for kind in kinds]
        row |= {"blanked": np.mean(missing), "worst_blanked": max(missing)}
        X = with_unseen(split, seed)
        row["unseen"] = np.nan if X is None else loss(model, X, split)
    return row


def raw_sets(folder):
    """Name -> task of the data sets with columns other than numbers."""
    found = {}
    for name, task in tasks(folder).items():
        head = pd.read_csv(Path(folder) / f"{name}.csv.gz", nrows=200)
        if any(not pd.api.types.is_numeric_dtype(head[c]) for c in head if c != "target"):
            found[name] = task
    return found


def run(options, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        pd.DataFrame(columns=COLUMNS).to_csv(path, index=False)
    sets = raw_sets(options.data)
    for seed in range(options.splits):
        for name in options.sets or sets:
            split = load(options.data, name, sets[name], options.rows, seed)
            for method in options.methods:
                known = pd.read_csv(path)
                known = known[(known["seed"] == seed) & (known["rows"] == options.rows)]
                known = known[(known["data"] == name) & known["note"].isna()]
                if method in set(known["method"]):
                    continue
                took = known.loc[known["method"] == "make_mixture", "cpu_seconds"]
                split.seconds = options.slowdown * took.iloc[0] if len(took) else np.nan
                row = dict(zip(KEYS, (name, method, seed, options.rows), strict=True))
                row["task"] = split.task
                row["strings"] = bool(split.kinds.columns(*STRINGS))
                try:
                    row |= compute(split, method, seed)
                except Exception as error:
                    row["note"] = f"{type(error).__name__}: {error}"[:200].replace("\n", " ")
                pd.DataFrame([row], columns=COLUMNS).to_csv(
                    path, mode="a", header=False, index=False
                )
                said = row.get("note") or f"{row['loss']:.4f} ({row['cpu_seconds']:.1f} s)"
                print(f"{name} seed {seed}: {method} {said}", flush=True)


def report(results):
    for (method, note), part in results.groupby(["method", "note"]):
        print(f"failed: {method} on {', '.join(sorted(set(part['data'])))}: {note}")
    results = results[results["note"].isna()]
    means = results.groupby(["data", "strings", "method"], sort=False).mean(numeric_only=True)
    print(f"\n{results['seed'].nunique()} splits, at most {results['rows'].max()} training rows")
    for figure in ("loss", "blanked", "unseen", "cpu_seconds"):
        table = means[figure].unstack("method")
        table = table.div(table["pool"], axis=0).droplevel("strings")
        table = table[[method for method in METHODS if method in table]]
        table.loc["geometric mean"] = np.exp(np.log(table).mean())
        print(f"\n{figure}, of the default pool's\n{table.round(3).to_string(na_rep='')}")
    print("\nGoals, and the means of single splits")
    for method, rivals, figure, strings, at_most, worst in GOALS:
        ratio = ratios(results, method, rivals, figure, strings)
        if ratio.empty:
            continue
        sets = {None: "all", True: "with strings", False: "without"}[strings]
        splits = [
            geometric_mean(ratios(part, method, rivals, figure, strings))
            for _, part in results.groupby("seed")
        ]
        print(
            f"{figure}, {method} / {', '.join(rivals)} ({sets}, {len(ratio)}): "
            f"{geometric_mean(ratio):.3f} (goal {at_most}; "
            f"{min(splits):.3f} to {max(splits):.3f}), worst {ratio.max():.3f} "
            f"on {ratio.idxmax()} (goal {worst})"
        )


def ratios(results, method, rivals, figure, strings):
    """By data set, a method's mean figure over that of the best rival; of some sets, or all."""
    if strings is not None:
        results = results[results["strings"].astype(bool) == strings]
    table = results.pivot_table(figure, "data", "method", sort=False)
    rivals = [rival for rival in rivals if rival in table]
    if method not in table or not rivals:
        return pd.Series(dtype=float)
    return (table[method] / table[rivals].min(axis=1)).dropna()


def geometric_mean(ratio):
    return float(np.exp(np.log(ratio).mean()))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DATA, help="folder with datasets.json")
    parser.add_argument("--output", type=Path, default=Path("build/tables"))
    parser.add_argument("--sets", nargs="+", metavar="NAME", help="data sets (all)")
    parser.add_argument("--methods", nargs="+", choices=METHODS, metavar="NAME", help="(all)")
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1500, help="most training rows")
    parser.add_argument(
        "--slowdown",
        type=float,
        default=1.0,
        help="seconds by the clock for one of processor time, where others use the machine: "
        "AutoGluon's limit is by the clock",
    )
    parser.add_argument("--report", action="store_true", help="compute nothing")
    options = parser.parse_args()
    options.methods = [
        method
        for method in options.methods or METHODS
        if method not in PACKAGES or importlib.util.find_spec(PACKAGES[method])
    ]
    path = options.output / "results.csv"
    if not options.report:
        run(options, path)
    results = pd.read_csv(path)
    report(results[results["rows"] == options.rows])


if __name__ == "__main__":
    main()
