"""Is a mixture more accurate than what its experts offer without it?

Protocol, fixed before any result was seen:

- each data set of a folder (``datasets.json`` names them), ``--splits`` random splits with seeds
  0, 1, ...; at most ``--rows`` training rows (5,000) of 70%, and of the rest at most 5,000 rows
  for testing; a seed draws the same rows whatever the versions of the libraries;
- columns encoded in the same way for all methods, by what the training part shows; classes with
  fewer than 10 training rows left out of both parts (``_data.py`` has the details);
- every method with fixed settings of its own, the mixture with its defaults, one thread each;
  nothing is chosen on test rows;
- losses on the test part: RMSE and MAE, or log-loss (probabilities clipped at 1e-6) and error;
  where a method has a density of a real target, its mean negative log-likelihood, too.

With ``--generators`` the data are piecewise problems with known regimes in place of the folder,
and what counts is the excess over an oracle that knows the regime of each row.

Results are appended to ``results.csv`` as they come, and what the file holds is not computed
again, except for what failed. A method that needs a package that is not installed is left out and
can be added to the same file later, or in another environment. README.md describes the tables and
the figure.

    python benchmarks/accuracy.py [--data FOLDER] [--family pool ...] [--methods skmoe ...] [-j 2]
    python benchmarks/accuracy.py --quick       # a first look: few sets, one split, 1,000 rows
    python benchmarks/accuracy.py --report      # the tables of what was computed before
"""

import argparse
import importlib.util
import logging
import platform
import time
import warnings
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

import _report
import numpy as np
import pandas as pd
import sklearn
from _data import DATA, load_split, tasks
from _generators import GENERATORS, load_problem, problem_tasks
from _methods import FAMILIES, ONLY, PACKAGES
from threadpoolctl import threadpool_limits

KEYS = ["family", "method", "data", "seed", "rows"]
LOSSES = ["rmse", "mae", "log_loss", "error", "negative_log_likelihood"]
COLUMNS = [
    *KEYS,
    *("task", "n_train", "n_test"),
    *LOSSES,
    *("reported_lift", "seconds", "predict_seconds", "versions", "note"),
]
VERSIONS = f"python {platform.python_version()}, scikit-learn {sklearn.__version__}"
QUICK = {"sets_per_task": 2, "splits": 1, "rows": 1000}


def arguments():
    methods = sorted({label for family in (*FAMILIES.values(), GENERATORS) for label in family})
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DATA, help="folder with datasets.json")
    parser.add_argument("--generators", action="store_true", help="problems with known regimes")
    parser.add_argument("--output", type=Path, default=Path("build/accuracy"))
    parser.add_argument("--family", nargs="+", choices=list(FAMILIES), default=list(FAMILIES))
    parser.add_argument("--methods", nargs="+", choices=methods, metavar="NAME", help="(all)")
    parser.add_argument("--sets", nargs="+", metavar="NAME", help="data sets (all)")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--rows", type=int, default=5000, help="most training rows")
    parser.add_argument("-j", "--jobs", type=int, default=1, help="methods fitted at a time")
    parser.add_argument("--replace", action="store_true", help="compute again what was selected")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--report", action="store_true", help="compute nothing")
    parser.add_argument("--reference", default="skmoe", help="method that tables compare (skmoe)")
    options = parser.parse_args()
    if options.quick:
        options.splits, options.rows = QUICK["splits"], min(QUICK["rows"], options.rows)
    return options


def losses(model, X, y, task):
    """Losses of a fitted model on test rows."""
    found = {}
    if task == "regression":
        residual = y - np.ravel(model.predict(X))
        found["rmse"] = np.sqrt(np.mean(residual**2))
        found["mae"] = np.mean(np.abs(residual))
        if hasattr(model, "log_density"):
            found["negative_log_likelihood"] = -model.log_density(X, y).mean()
    else:
        given = model.predict_proba(X)
        classes = np.asarray(getattr(model, "classes_", np.arange(given.shape[1])), dtype=int)
        proba = np.zeros((len(y), max(classes.max(), y.max()) + 1))
        proba[:, classes] = given
        proba = np.clip(proba, 1e-6, 1.0)
        proba /= proba.sum(axis=1, keepdims=True)
        found["log_loss"] = -np.log(proba[np.arange(len(y)), y]).mean()
        found["error"] = np.mean(proba.argmax(axis=1) != y)
    if not all(map(np.isfinite, found.values())):
        raise ValueError(f"predictions that are not finite: {found}")
    return found


@lru_cache(maxsize=2)
def data_and_methods(folder, family, name, task, rows, seed):
    """The split, and what makes the methods of the family; `folder` None are the generators."""
    if folder is None:
        problem = load_problem(name, rows, seed)
        return problem.split, problem.methods
    return load_split(folder, name, task, rows, seed), FAMILIES[family]


def compute(folder, family, label, name, seed, rows, task):
    """Fit and judge one method; a failure is a result too."""
    row = dict(zip(KEYS, (family, label, name, seed, rows), strict=True))
    row |= {"task": task, "versions": VERSIONS}
    logging.disable(logging.WARNING)  # one peer narrates its fits
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        try:
            split, methods = data_and_methods(folder, family, name, task, rows, seed)
            row |= {"n_train": len(split.y), "n_test": len(split.y_test)}
            started = time.perf_counter()
            model = methods[label](task, seed).fit(split.X, split.y)
            row["seconds"] = time.perf_counter() - started
            started = time.perf_counter()
            row |= losses(model, split.X_test, split.y_test, task)
            row["predict_seconds"] = time.perf_counter() - started
            if hasattr(model, "lift_"):
                row["reported_lift"] = model.lift_.over_best_expert
        except Exception as error:
            row["note"] = f"{type(error).__name__}: {error}"[:300].replace("\n", " ")
    return row


def installed(labels):
    """The methods whose packages are there; says which are left out."""
    kept = []
    for label in labels:
        package = PACKAGES.get(label)
        if package and importlib.util.find_spec(package) is None:
            print(f"{label}: left out, {package} is not installed")
        else:
            kept.append(label)
    return kept


def usable(folder, kinds, rows):
    """The data sets that can be split; says which are left out."""
    kept = []
    for name, task in kinds.items():
        try:
            load_split(folder, name, task, rows, seed=0)
        except (OSError, ValueError) as error:
            print(f"{name}: left out, {error}")
        else:
            kept.append(name)
    return kept


def selected_sets(options):
    """Name -> task of the data sets to use, in the order of the folder."""
    kinds = problem_tasks() if options.generators else tasks(options.data)
    unknown = set(options.sets or ()) - set(kinds)
    if unknown:
        raise SystemExit(f"unknown data sets {sorted(unknown)}; there are {', '.join(kinds)}")
    names = options.sets or list(kinds)
    if options.quick and not options.sets:
        by_task = {task: [n for n in names if kinds[n] == task] for task in kinds.values()}
        names = [n for own in by_task.values() for n in own[: QUICK["sets_per_task"]]]
    return {name: kinds[name] for name in names}


def selected_jobs(options, kinds):
    """Arguments of `compute`; the first split of all data sets comes first."""
    folder = None if options.generators else options.data
    families = {family: FAMILIES[family] for family in options.family}
    if options.generators:
        families = {"generators": GENERATORS}
    wanted = {label for family in families.values() for label in family}
    ready = installed(
        label for label in sorted(wanted) if not options.methods or label in options.methods
    )
    names = list(kinds) if options.generators else usable(folder, kinds, options.rows)
    return [
        (folder, family, label, name, seed, options.rows, kinds[name])
        for seed in range(options.splits)
        for name in names
        for family, methods in families.items()
        for label in methods
        if label in ready and ONLY.get(label, kinds[name]) == kinds[name]
    ]


def keep_results(path, jobs, replace):
    """Drop failures of these jobs from the CSV, or all that they had; return what is left."""
    known = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=COLUMNS)
    chosen = {job[1:6] for job in jobs}
    is_chosen = [key in chosen for key in known[KEYS].itertuples(index=False, name=None)]
    stale = np.array(is_chosen, dtype=bool) & (known["note"].notna() | replace)
    if stale.any() or not path.exists():  # another process may be adding to the file
        known = known[~stale]
        known.to_csv(path, index=False)
    return known


def run(options, path):
    """Compute what the CSV lacks; every result is written as it comes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    jobs = selected_jobs(options, selected_sets(options))
    known = keep_results(path, jobs, options.replace)
    done = set(known[KEYS].itertuples(index=False, name=None))
    jobs = [job for job in jobs if job[1:6] not in done]
    started = time.perf_counter()
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        for number, future in enumerate(
            as_completed([pool.submit(compute, *job) for job in jobs]), 1
        ):
            row = future.result()
            with path.open("a", newline="") as file:
                pd.DataFrame([row], columns=COLUMNS).to_csv(file, header=False, index=False)
            minutes = (time.perf_counter() - started) / 60
            loss = row.get(_report.LOSS[row["task"]])
            print(
                f"[{number}/{len(jobs)}, {minutes:.1f} min, about "
                f"{minutes * (len(jobs) / number - 1):.0f} min left] {row['data']} "
                f"seed {row['seed']}, {row['family']}: {row['method']} "
                + (row["note"] if "note" in row else f"{loss:.4f} ({row['seconds']:.1f} s)"),
                flush=True,
            )


def main():
    options = arguments()
    path = options.output / "results.csv"
    if not options.report:
        run(options, path)
    results = pd.read_csv(path)
    results = results[results.rows == options.rows]
    if results.empty:
        raise SystemExit(f"{path} holds no results with --rows {options.rows}")
    _report.report(results, options.reference, options.output)


if __name__ == "__main__":
    main()
