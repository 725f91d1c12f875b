"""How large is the consensus of a pool, and what does it add to the time of a prediction?

    python benchmarks/consensus.py [--data FOLDER] [--sets NAME ...] [--rows 1000 8000]

A pool of four experts with its default consensus, and the same without. Sizes are those of
pickles; times are the processor's, the smallest of several calls, with one thread: for a single
row, and for each of 1,000 rows.
"""

import argparse
import pickle
import time
from pathlib import Path

from _data import DATA, load_split, tasks
from _methods import pool
from threadpoolctl import threadpool_limits

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor

BATCH = 1000


def megabytes(model):
    """Size of the pickle."""
    return len(pickle.dumps(model, protocol=5)) / 1e6


def milliseconds_per_row(predict, X, n_rows, calls=5):
    """Of the fastest call."""
    best = float("inf")
    for _ in range(calls):
        started = time.process_time()
        predict(X[:n_rows])
        best = min(best, time.process_time() - started)
    return 1e3 * best / n_rows


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DATA, help="folder with datasets.json")
    parser.add_argument("--sets", nargs="+", default=["bike_sharing_hourly", "adult"])
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 8000])
    options = parser.parse_args()
    known = tasks(options.data)
    line = "{:20} {:>8}  {:>9}  {:>8}  {:>14}  {:>14}"
    print(line.format("", "training", "consensus", "experts", "ms a row", "with, without"))
    print(line.format("set", "rows", "MB", "MB", "one row", f"of {BATCH}"))
    for name in options.sets:
        task = known[name]
        kind = MixtureOfExpertsClassifier
        if task == "regression":
            kind = MixtureOfExpertsRegressor
        experts = [each for each in pool(task, 0) if each[0] not in ("svm", "network")]
        for n_rows in options.rows:
            split = load_split(options.data, name, task, n_rows, seed=0)
            moe = kind(experts, shared_expert="consensus", random_state=0)
            moe.fit(split.X, split.y)
            bare = kind(experts, shared_expert=None, random_state=0).fit(split.X, split.y)
            times = [
                milliseconds_per_row(model.predict, split.X_test, size)
                for size in (1, BATCH)
                for model in (moe, bare)
            ]
            print(
                f"{name:20} {len(split.X):8}  {megabytes(moe.shared_expert_):9.2f}  "
                f"{megabytes(moe.experts_):8.2f}  {times[0]:6.2f} {times[1]:7.2f}  "
                f"{times[2]:6.3f} {times[3]:7.3f}   weight {moe.shared_weight_:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
