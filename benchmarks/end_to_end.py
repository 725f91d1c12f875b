"""What skmoe itself costs: import, compilation, and everything around the experts' own work.

Run ``python benchmarks/end_to_end.py [--csv PATH] [--repeats 5]``. Every figure is the median of
several runs, and every ratio compares two measurements of the same run. See README.md.
"""

import argparse
import csv
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

import numpy as np
from sklearn.base import clone
from sklearn.ensemble import RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Ridge

from skmoe import MixtureOfExpertsRegressor
from skmoe.datasets import make_piecewise_regression

IMPORT = """
import time
started = time.perf_counter()
import {module}
print(time.perf_counter() - started)
"""

FIRST_FIT = """
import sklearn.linear_model, sklearn.cluster, sklearn.pipeline, sklearn.ensemble
import time
import numpy as np
rng = np.random.default_rng(0)
X = rng.normal(size=(2000, 10))
y = np.where(X[:, 0] > 0, X[:, 1], -X[:, 1])
started = time.perf_counter()
from skmoe import MixtureOfExpertsRegressor
imported = time.perf_counter()
model = MixtureOfExpertsRegressor(n_experts=3, max_iter={iterations}, tol=0.0, random_state=0)
import warnings
warnings.simplefilter("ignore")
model.fit(X, y).predict(X)
first = time.perf_counter()
model.fit(X, y).predict(X)
print(imported - started, first - imported, time.perf_counter() - first)
"""


def in_fresh_process(code, **environment):
    """Run code in a new interpreter; the numbers in the last line that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return [float(number) for number in done.stdout.splitlines()[-1].split()]


class Clock:
    """Seconds spent inside the timed methods of all experts of a run."""

    fit = predict = 0.0

    @classmethod
    def reset(cls):
        cls.fit = cls.predict = 0.0


class Timed:
    """Adds the seconds of an estimator's `fit` and `predict` to the clock."""

    def fit(self, X, y, sample_weight=None):
        started = time.perf_counter()
        super().fit(X, y, sample_weight)
        Clock.fit += time.perf_counter() - started
        return self

    def predict(self, X):
        started = time.perf_counter()
        prediction = super().predict(X)
        Clock.predict += time.perf_counter() - started
        return prediction


class TimedRidge(Timed, Ridge):
    """Ridge, timed."""


class TimedForest(Timed, RandomForestRegressor):
    """Random forest, timed."""


def measure_import(repeats):
    """Seconds to import skmoe and sklearn.ensemble, in alternation."""
    runs = [
        [in_fresh_process(IMPORT.format(module=name))[0] for name in ("skmoe", "sklearn.ensemble")]
        for _ in range(repeats)
    ]
    yield from rows_of("import: skmoe / sklearn.ensemble", runs)


def measure_first_fit(repeats):
    """Seconds of the first fit and predict of a process, against the second in that process."""
    cold, warm = [], []
    code = FIRST_FIT.format(iterations=10)
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as cache:
            for runs in (cold, warm):
                importing, first, second = in_fresh_process(code, NUMBA_CACHE_DIR=cache)
                runs.append([importing + first, second])
    yield from rows_of("import + first fit, empty cache / second fit", cold)
    yield from rows_of("import + first fit, warm cache / second fit", warm)


def measure_overhead(label, expert, n_samples, repeats, **parameters):
    """Seconds of a whole fit, and of predict, against those inside the experts."""
    data = make_piecewise_regression(n_samples, 10, 3, noise=0.3, random_state=0)
    model = MixtureOfExpertsRegressor(
        expert, n_experts=3, e_step="crossfit", random_state=0, **parameters
    )
    fits, predictions = [], []
    for number in range(repeats + 1):
        Clock.reset()
        mixture = clone(model)
        started = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            mixture.fit(data.X, data.y)
        ended = time.perf_counter()
        fit = [ended - started, Clock.fit + Clock.predict]
        Clock.reset()
        started = time.perf_counter()
        mixture.predict(data.X)
        ended = time.perf_counter()
        if number:  # the first run compiles
            fits.append(fit)
            predictions.append([ended - started, Clock.predict])
    label = f"{label}, N={n_samples}, {mixture.n_iter_} iterations"
    yield from rows_of(f"fit: {label}: whole / experts", fits)
    yield from rows_of(f"predict: {label}: whole / experts", predictions)


def rows_of(label, runs):
    """One line of the table: medians of both times and of their ratio, and the ratio's range."""
    runs = np.asarray(runs)
    ratios = runs[:, 0] / runs[:, 1]
    yield {
        "measurement": label,
        "seconds": statistics.median(runs[:, 0]),
        "reference_seconds": statistics.median(runs[:, 1]),
        "ratio": statistics.median(ratios),
        "ratio_min": ratios.min(),
        "ratio_max": ratios.max(),
        "runs": len(runs),
    }


def measurements(repeats):
    yield from measure_import(repeats)
    yield from measure_first_fit(repeats)
    for n_samples in (2000, 20000):
        yield from measure_overhead("ridge", TimedRidge(), n_samples, repeats)
    forest = TimedForest(50, random_state=0)
    yield from measure_overhead("forests of 50", forest, 2000, min(repeats, 3), max_iter=5)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--csv", metavar="PATH", help="also write the table to a file")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each measurement")
    arguments = parser.parse_args()
    print(f"{'measurement':<66} {'seconds':>9} {'reference':>9} {'ratio':>6}  (smallest-largest)")
    table = []
    for row in measurements(arguments.repeats):
        table.append(row)
        print(
            "{measurement:<66} {seconds:9.4f} {reference_seconds:9.4f} {ratio:6.2f}  "
            "({ratio_min:.2f}-{ratio_max:.2f})".format(**row),
            flush=True,
        )
    if arguments.csv:
        with open(arguments.csv, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, table[0])
            writer.writeheader()
            writer.writerows(table)


if __name__ == "__main__":
    main()
