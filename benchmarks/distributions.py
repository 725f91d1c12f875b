"""Is a mixture as sure as it may be, and how much does it say beyond the mean?

The regression sets of a folder (``datasets.json`` names them), encoded as in ``accuracy.py``; a
seed draws the same rows. Every method with fixed settings of its own, the mixture with its
defaults, one thread each; targets are in standard deviations of the training part. On test rows:

- ``nll``: mean negative log-density, where a method has one;
- ``crps``: in closed form, or as twice the mean pinball loss at 99 levels;
- ``interval_90``: interval score of the central 90 %;
- ``coverage_50`` ... ``coverage_95`` of central intervals;
- ``pit``: largest distance of the distribution of the probability integral transform from the
  uniform one (Kolmogorov's), from 99 quantiles.

With ``--small``: 60, 120 and 250 rows of these sets, and of pure noise. Results are appended to
``distributions.csv`` and not computed again.

    python benchmarks/distributions.py [--splits 3] [--rows 2000] [--methods skmoe NGBoost ...]
    python benchmarks/distributions.py --small --methods skmoe "skmoe, mixture"
    python benchmarks/distributions.py --report
    python benchmarks/distributions.py --cost
"""

import argparse
import importlib.util
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from _data import DATA, Split, load_split, tasks
from _density_methods import METHODS, PACKAGES, TooManyRows
from threadpoolctl import threadpool_limits

LEVELS = (0.5, 0.8, 0.9, 0.95)
PERCENTILES = np.arange(1, 100) / 100
KEYS = ["method", "data", "rows", "seed"]
SMALL = (60, 120, 250)
PEERS = (
    ("NGBoost", "CRPS / NGBoost"),
    ("quantile forest", "CRPS / quantile forest"),
)
OURS = ("skmoe", "skmoe, mixture", "linear clones", "linear clones, mixture")


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DATA, help="folder with datasets.json")
    parser.add_argument("--output", type=Path, default=Path("build/distributions"))
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), metavar="NAME")
    parser.add_argument("--sets", nargs="+", metavar="NAME", help="data sets (all)")
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--rows", type=int, default=2000, help="most training rows")
    parser.add_argument("--small", action="store_true", help="few rows, and pure noise")
    parser.add_argument("--report", action="store_true", help="compute nothing")
    parser.add_argument("--cost", action="store_true", help="time with and without, alternating")
    parser.add_argument("--repeats", type=int, default=5, help="of --cost")
    return parser.parse_args()


def data(folder, name, rows, seed):
    if name != "noise":
        return load_split(folder, name, "regression", rows, seed)
    rng = np.random.RandomState(seed)
    X, y = rng.standard_normal((rows + 5000, 5)), rng.standard_normal(rows + 5000)
    return Split(X[:rows], X[rows:], y[:rows], y[rows:])


def figures(model, X, y):
    """What a fitted method is worth on test rows."""
    found = {}
    if hasattr(model, "log_density"):
        found["nll"] = -model.log_density(X, y).mean()
    if hasattr(model, "intervals"):
        intervals = dict(zip(LEVELS, model.intervals(X), strict=True))
    else:
        ends = [(1 - level) / 2 for level in LEVELS] + [(1 + level) / 2 for level in LEVELS]
        made = model.quantiles(X, np.array([*ends, *PERCENTILES]))
        intervals = {level: made[:, [k, k + len(LEVELS)]] for k, level in enumerate(LEVELS)}
        percentiles = made[:, 2 * len(LEVELS) :]
        if hasattr(model, "crps"):
            found["crps"] = model.crps(X, y).mean()
        else:
            excess = y[:, np.newaxis] - percentiles
            pinball = np.maximum(PERCENTILES * excess, (PERCENTILES - 1) * excess)
            found["crps"] = 2 * pinball.mean()
        below = (y[:, np.newaxis] <= percentiles).mean(axis=0)
        found["pit"] = np.abs(below - PERCENTILES).max()
    lower, upper = intervals[0.9].T
    outside = np.maximum(lower - y, 0) + np.maximum(y - upper, 0)
    found["interval_90"] = np.mean(upper - lower + 2 / 0.1 * outside)
    for level, (lower, upper) in ((level, ends.T) for level, ends in intervals.items()):
        found[f"coverage_{100 * level:.0f}"] = np.mean((lower <= y) & (y <= upper))
    return found


def compute(folder, label, name, rows, seed):
    """Fit and judge one method; a failure is a result too."""
    row = dict(zip(KEYS, (label, name, rows, seed), strict=True))
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        try:
            split = data(folder, name, rows, seed)
            row |= {"n_train": len(split.y), "n_test": len(split.y_test)}
            started = time.process_time()
            model = METHODS[label](seed).fit(split.X, split.y)
            row["seconds"] = time.process_time() - started
            started = time.process_time()
            row |= figures(model, split.X_test, split.y_test)
            row["predict_seconds"] = time.process_time() - started
        except TooManyRows as error:
            row["note"] = str(error)
        except Exception as error:
            row["note"] = f"{type(error).__name__}: {error}"[:300].replace("\n", " ")
            print(row["note"])
    return row


def run(options, path):
    known = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=KEYS)
    done = set(known[KEYS].itertuples(index=False, name=None))
    sets = [name for name, task in tasks(options.data).items() if task == "regression"]
    sets = [name for name in sets if options.sets is None or name in options.sets]
    sizes = SMALL if options.small else (options.rows,)
    if options.small:
        sets = [*sets, "noise"]
    jobs = [
        (label, name, rows, seed)
        for seed in range(options.splits)
        for rows in sizes
        for name in sets
        for label in options.methods or METHODS
        if importlib.util.find_spec(PACKAGES.get(label, "sklearn"))
    ]
    for job in jobs:
        if job in done:
            continue
        row = compute(options.data, *job)
        known = pd.concat([known, pd.DataFrame([row])], ignore_index=True)
        known.to_csv(path, index=False)
        print(*job, f"nll {row.get('nll', np.nan):.3f} crps {row.get('crps', np.nan):.4f}")


def geometric_mean(ratios):
    return np.exp(np.log(ratios).mean())


def report(table, fewest_test_rows=3000):
    """Tables of means over splits, and the figures that issue and guide quote."""
    means = table.groupby(["method", "rows", "data"]).mean(numeric_only=True)
    for rows, part in means.groupby(level="rows"):
        part = part.droplevel("rows")
        print(f"\n# at most {rows} training rows\n")
        for figure in ("nll", "crps", "interval_90"):
            print(part[figure].unstack("method").round(3).to_string(), "\n")
        over_sets = [c for c in part.columns if c.startswith("coverage")] + ["pit", "seconds"]
        print(part[over_sets].groupby(level="method").mean().round(3).to_string(), "\n")
        summary(part, fewest_test_rows)


def summary(part, fewest_test_rows):
    nll, crps = part["nll"].unstack("method"), part["crps"].unstack("method")
    score = part["interval_90"].unstack("method")
    for ours in ("skmoe", "linear clones"):
        if {ours, f"{ours}, mixture"} <= set(nll):
            gain = nll[ours] - nll[f"{ours}, mixture"]
            print(
                f"{ours}: NLL less that of the mixture {gain.mean():+.3f}, "
                f"worst {gain.max():+.3f} ({gain.idxmax()})"
            )
    if "skmoe" not in crps:
        return
    for peer, label in PEERS:
        if peer in crps:
            ratio = crps["skmoe"] / crps[peer]
            print(f"{label} {geometric_mean(ratio):.3f}, worst {ratio.max():.3f}")
    peers = crps.drop(columns=[name for name in OURS if name in crps]).dropna(axis=1, how="all")
    if len(peers.columns):
        ratio = crps["skmoe"] / peers.min(axis=1)
        print(
            f"CRPS / best peer of each set {geometric_mean(ratio):.3f}, "
            f"worst {ratio.max():.3f} ({ratio.idxmax()})"
        )
    mapie = [name for name in ("MAPIE CV+", "MAPIE CQR") if name in score]
    if mapie:
        ratios = {name: geometric_mean(score["skmoe"] / score[name]) for name in mapie}
        better = max(ratios, key=ratios.get)
        print(f"interval score at 90 % / {better} {ratios[better]:.3f}")
    own = part.loc["skmoe"]
    own = own[own["n_test"] >= fewest_test_rows]
    if len(own):
        off = [
            f"{(own[f'coverage_{100 * level:.0f}'] - level).abs().mean():.3f}" for level in LEVELS
        ]
        print(
            f"mean deviation of coverage at {LEVELS}, {len(own)} sets with "
            f"{fewest_test_rows} test rows: {', '.join(off)}"
        )


def cost(options):
    """Processor time of fits with and without, and rows a second, in alternation."""
    from _methods import pool

    from skmoe import MixtureOfExpertsRegressor

    for name in options.sets or ("concrete", "california_housing"):
        split = load_split(options.data, name, "regression", options.rows, 0)
        seconds = {"auto": [], "mixture": []}
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(options.repeats):
                for density, times in seconds.items():
                    model = MixtureOfExpertsRegressor(
                        pool("regression", 0), density=density, random_state=0
                    )
                    started = time.process_time()
                    model.fit(split.X, split.y)
                    times.append(time.process_time() - started)
                    if density == "auto":
                        with_density = model
            asked = {"predict": [], "predict_interval": []}
            for _ in range(options.repeats):
                for method, times in asked.items():
                    started = time.process_time()
                    getattr(with_density, method)(split.X_test)
                    times.append(time.process_time() - started)
        fit = min(seconds["auto"]) / min(seconds["mixture"])
        interval = min(asked["predict"]) / min(asked["predict_interval"])
        print(
            f"{name}: fit {fit:.3f} of that without ({min(seconds['auto']):.2f} s); "
            f"predict_interval has {interval:.2f} of the rows a second of predict "
            f"({len(split.y_test) / min(asked['predict_interval']):.0f})"
        )


def main():
    options = arguments()
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / ("small.csv" if options.small else "distributions.csv")
    if options.cost:
        return cost(options)
    if not options.report:
        run(options, path)
    report(pd.read_csv(path))


if __name__ == "__main__":
    main()
