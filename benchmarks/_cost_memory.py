"""The peak memory of a fit of linear experts: the part ``memory`` of cost.py.

A process of its own makes the data, fits, and says how far its peak rose above what it held
before the fit, in multiples of X. The fit has one start, one overlap and few iterations, which
take as much memory as many; a search keeps one more iterate, without its responsibilities.
"""

import resource
import subprocess
import sys

import numpy as np

GOAL = 10.0
"""At most so many times X."""

N_FEATURES, N_EXPERTS = 20, 8


def report(n_rows):
    """Print the peak for X in double and in single precision."""
    for dtype in ("float64", "float32"):
        command = [sys.executable, __file__, str(n_rows), dtype]
        peak, x_size, seconds = map(
            float,
            subprocess.run(command, check=True, capture_output=True, text=True).stdout.split(),
        )
        verdict = "met" if peak / x_size <= GOAL else "MISSED"
        print(
            f"{verdict:8}peak of a fit of {N_EXPERTS} ridge experts, {n_rows} x {N_FEATURES}, "
            f"{dtype}: {peak / x_size:.1f} times X ({peak / 2**20:.0f} MB), {seconds:.1f} s; "
            f"goal at most {GOAL:g}"
        )


def problem(n_rows, dtype):
    """Rows of eight linear regimes that a softmax of the features chooses between."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, N_FEATURES))
    regime = (X @ rng.normal(size=(N_FEATURES, N_EXPERTS))).argmax(axis=1)
    coef = rng.normal(size=(N_EXPERTS, N_FEATURES))
    y = np.einsum("ij,ij->i", X, coef[regime]) + rng.normal(size=n_rows)
    return X.astype(dtype), y


def main():
    from time import process_time

    from sklearn.linear_model import Ridge

    from skmoe import MixtureOfExpertsRegressor

    n_rows, dtype = int(sys.argv[1]), sys.argv[2]
    # Rows enough that compiled code is loaded, which is not to be counted.
    first = MixtureOfExpertsRegressor(Ridge(), n_experts=2, max_iter=2, overlap=0.0)
    first.fit(*problem(20_000, dtype))
    X, y = problem(n_rows, dtype)
    before, started = resident(), process_time()
    settings = {"overlap": 0.0, "init": "kmeans", "max_iter": 4, "random_state": 0}
    MixtureOfExpertsRegressor(Ridge(), n_experts=N_EXPERTS, **settings).fit(X, y)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(peak - before, X.nbytes, process_time() - started)


def resident():
    """Bytes that the process holds now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    main()
