"""The speed of the gate and of the arithmetic of EM, against scikit-learn, SciPy and NumPy.

Run ``python benchmarks/gate.py [--quick] [--only NAME ...]``. Times are medians, ratios compare
measurements of the same run, and each side has one thread. Lower bounds come from the bandwidth
and the peak of the processor as measured in the same run.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from functools import partial

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np  # noqa: E402
from scipy.special import logsumexp  # noqa: E402
from sklearn.linear_model import LinearRegression, LogisticRegression  # noqa: E402

from skmoe import MixtureOfExpertsRegressor, SoftmaxGate, _arithmetic  # noqa: E402
from skmoe._data.folds import Folds  # noqa: E402
from skmoe._experts import pool as _experts  # noqa: E402
from skmoe._training import em as _em  # noqa: E402
from skmoe._training.gate import SolvingTrainer, gate_trainer  # noqa: E402
from skmoe.datasets import make_piecewise_regression  # noqa: E402
from skmoe.gates._solver import objectives, prepared  # noqa: E402

ALPHA = 1e-3
FLEXMIX_SECONDS = 4.904
"""An iteration of R's flexmix 2.3-18 with 1e5 rows, 10 features and 4 experts, one thread, on a
machine like that of the first measurements: not of this run."""


def median_time(function, repeats=7, budget=20.0):
    """Median seconds; fewer repeats where one takes long."""
    times, started = [], time.perf_counter()
    while len(times) < repeats and (len(times) < 1 or time.perf_counter() - started < budget):
        before = time.perf_counter()
        function()
        times.append(time.perf_counter() - before)
    return statistics.median(times)


def problem(n_samples, n_features, n_experts, seed=0):
    """Correlated standardised features and responsibilities that follow them with noise."""
    rng = np.random.default_rng(seed)
    mixing = 0.5 * np.eye(n_features) + 0.5 * rng.normal(size=(n_features, n_features))
    X = rng.normal(size=(n_samples, n_features)) @ mixing
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    coef = rng.normal(size=(n_features, n_experts)) * 2 / np.sqrt(n_features)
    logits = X @ coef + rng.normal(size=(n_samples, n_experts))
    return X, softmax(logits)


def softmax(logits):
    proba = np.exp(logits - logits.max(axis=1, keepdims=True))
    return proba / proba.sum(axis=1, keepdims=True)


def objective_and_gradient(X, R, coef, intercept):
    """Penalised cross-entropy, and the norm of its gradient, in plain NumPy."""
    logits = X @ coef.T + intercept
    logits -= logits.max(axis=1, keepdims=True)
    log_proba = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    value = -np.mean(np.sum(R * log_proba, axis=1)) + ALPHA / 2 * np.sum(coef**2)
    residual = (np.exp(log_proba) - R) / len(X)
    gradient = residual.T @ X + ALPHA * coef
    return value, np.sqrt(np.sum(gradient**2) + np.sum(residual.sum(axis=0) ** 2))


class Repeated:
    """scikit-learn's softmax regression on soft targets: each row once per expert, weighted."""

    def __init__(self, X, R, solver):
        self.X, self.R = X, R
        self.rows = np.repeat(X, R.shape[1], axis=0)
        self.labels = np.tile(np.arange(R.shape[1]), len(X))
        self.solver = solver

    def fit(self, tol, start=None, R=None):
        model = LogisticRegression(
            C=1 / (ALPHA * len(self.X)), tol=tol, max_iter=10_000, solver=self.solver
        )
        if start is not None:
            model.set_params(warm_start=True)
            model.coef_, model.intercept_ = start.coef_.copy(), start.intercept_.copy()
            model.classes_ = start.classes_
        R = self.R if R is None else R
        return model.fit(self.rows, self.labels, R.ravel())

    def tolerance(self, relative_gradient):
        """Loosest power of ten that brings the gradient as low as asked."""
        n_features, n_experts = self.X.shape[1], self.R.shape[1]
        zero = np.zeros((n_experts, n_features)), np.zeros(n_experts)
        reference = objective_and_gradient(self.X, self.R, *zero)[1]
        tol = 1e-4
        while True:
            model = self.fit(tol)
            norm = objective_and_gradient(self.X, self.R, model.coef_, model.intercept_)[1]
            if norm <= relative_gradient * reference or tol < 1e-10:
                return tol
            tol /= 10


def cold(quick):
    print("\nCold solve to a relative gradient of 1e-6 (goals: 100, 50, 50, 30 times)")
    print(f"{'N':>7} {'d':>3} {'K':>3} {'skmoe':>10} {'lbfgs':>10} {'newton':>10} {'ratio':>7}"
          f" {'coef':>8} {'objective':>9}")  # fmt: skip
    sizes = [(100_000, 20, 8), (10_000, 20, 8), (1000, 20, 8), (100_000, 5, 4)]
    for size in sizes[1:3] if quick else sizes:
        X, R = problem(*size)
        gate = SoftmaxGate(ALPHA).fit(X, R)
        ours = median_time(partial(gate.fit, X, R))
        theirs = {}
        for solver in ("lbfgs", "newton-cholesky"):
            peer = Repeated(X, R, solver)
            tol = peer.tolerance(1e-6) if solver == "lbfgs" else 1e-6
            theirs[solver] = median_time(partial(peer.fit, tol), budget=15.0)
        tight, other = (
            SoftmaxGate(ALPHA, tol=1e-10).fit(X, R),
            Repeated(X, R, "newton-cholesky").fit(1e-10),
        )
        difference = np.abs(tight.coef_ - other.coef_).max()
        gap = (
            objective_and_gradient(X, R, tight.coef_, tight.intercept_)[0]
            - objective_and_gradient(X, R, other.coef_, other.intercept_)[0]
        )
        print(f"{size[0]:7d} {size[1]:3d} {size[2]:3d} {ours * 1e3:8.2f}ms"
              f" {theirs['lbfgs'] * 1e3:8.0f}ms {theirs['newton-cholesky'] * 1e3:8.0f}ms"
              f" {min(theirs.values()) / ours:7.1f} {difference:8.1e} {gap:9.1e}")  # fmt: skip


def methods(quick):
    """What each part of the solver is there for: the same problems without it."""
    print("\nThe solver, and it without estimates of the Hessian (d > N: and without rotation)")
    sizes = [(100_000, 5, 4), (100_000, 20, 8), (20_000, 50, 20), (5000, 100, 64),
             (20_000, 300, 8), (300, 2000, 4)]  # fmt: skip
    for alpha, size in [(a, size) for size in sizes[2 if quick else 0 :] for a in (ALPHA, 1e-6)]:
        X, R = problem(*size)
        gate = SoftmaxGate(alpha)
        ours = median_time(partial(gate.fit, X, R), 5)
        steps, limit = gate.n_iter_, objectives.LARGEST_HESSIAN
        try:
            prepared.LARGEST_HESSIAN = objectives.LARGEST_HESSIAN = 0
            without = median_time(partial(gate.fit, X, R), 5)
        finally:
            prepared.LARGEST_HESSIAN = objectives.LARGEST_HESSIAN = limit
        print(f"N={size[0]} d={size[1]} K={size[2]} alpha={alpha:g}: {ours * 1e3:.0f} ms, {steps} "
              f"steps; without {without * 1e3:.0f} ms, {gate.n_iter_} steps")  # fmt: skip


def warm(quick):
    print("\nM-step inside EM, responsibilities changed by one iteration (goal: 300 times)")
    size = (10_000 if quick else 100_000, 20, 8)
    X, R = problem(*size)
    noise = np.random.default_rng(1).normal(0, 0.1, R.shape)
    changed = softmax(np.log(R) + noise)
    weights = np.ones(len(X))
    folds = Folds.in_sample(len(X))
    trainer = gate_trainer(SoftmaxGate(ALPHA), X, folds, 1e-5)
    start = trainer.fit_held_out(R[None], weights)
    trainer.fit_held_out(changed[None], weights, start)
    ours = median_time(lambda: trainer.fit_held_out(changed[None], weights, start))
    exact = gate_trainer(SoftmaxGate(ALPHA), X, folds)
    start = exact.fit_held_out(R[None], weights)
    converged = median_time(lambda: exact.fit_held_out(changed[None], weights, start))
    peer = Repeated(X, R, "lbfgs")
    tol = peer.tolerance(1e-6)
    model = peer.fit(tol)
    theirs = median_time(lambda: peer.fit(tol, start=model, R=changed))
    print(f"one step {ours * 1e3:.2f} ms, {theirs / ours:.0f} times; converged "
          f"{converged * 1e3:.2f} ms, {theirs / converged:.0f} times; lbfgs, warm, "
          f"{theirs * 1e3:.0f} ms")  # fmt: skip


class Stopwatch:
    """Adds up the seconds spent in functions of modules or classes."""

    def __init__(self, *places):
        self.seconds, self.places = 0.0, places

    def __enter__(self):
        self.originals = [getattr(owner, name) for owner, name in self.places]
        for (owner, name), original in zip(self.places, self.originals, strict=True):
            setattr(owner, name, self._timed(original))
        return self

    def _timed(self, original):
        def call(*args, **kwargs):
            before = time.perf_counter()
            try:
                return original(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - before

        return call

    def __exit__(self, *_):
        for (owner, name), original in zip(self.places, self.originals, strict=True):
            setattr(owner, name, original)


def em(quick):
    print("\nWhole fits with linear experts (goals: gate at most 5%; flexmix 100 times)")
    n_samples = 10_000 if quick else 100_000
    for n_features, n_experts in ((20, 8), (10, 4)):
        X, y = piecewise(n_samples, n_features, n_experts)
        with warnings.catch_warnings():  # to load what is compiled
            warnings.simplefilter("ignore")
            MixtureOfExpertsRegressor(n_experts=n_experts, max_iter=1, random_state=0).fit(X, y)
        for e_step in ("insample", "crossfit"):
            for expert in (None, LinearRegression()):
                model = MixtureOfExpertsRegressor(
                    expert, n_experts=n_experts, e_step=e_step, overlap=0.0, max_iter=10,
                    tol=1e-4, gate=SoftmaxGate("auto"), density="mixture",
                    random_state=0,
                )  # fmt: skip
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    before = time.perf_counter()
                    with (
                        Stopwatch((SolvingTrainer, "fit_held_out")) as steps,
                        Stopwatch(
                            (SolvingTrainer, "maximize_likelihood"), (SolvingTrainer, "refit")
                        ) as end,
                        Stopwatch((_em, "e_step")) as e_steps,
                        Stopwatch(
                            (_experts.ExpertPool, "fit_held_out"), (_experts.ExpertPool, "refit")
                        ) as experts,
                    ):
                        model.fit(X, y)
                    total = time.perf_counter() - before
                iteration = np.median(model.history_["seconds"])
                flexmix = f", flexmix {FLEXMIX_SECONDS / iteration:.0f} times" * (n_features == 10)
                print(f"N={n_samples} d={n_features} K={n_experts} {e_step:8s} {expert!s:18s}: "
                      f"{total:6.2f} s, {len(model.history_['seconds'])} iterations of "
                      f"{iteration * 1e3:.0f} ms; experts {experts.seconds / total:.1%}, gate in "
                      f"the iterations {steps.seconds / total:.1%} and at the end "
                      f"{end.seconds / total:.1%}, E-steps {e_steps.seconds / total:.1%}"
                      f"{'' if quick else flexmix}")  # fmt: skip

    cgmm_iteration(n_samples)


def cgmm_iteration(n_samples):
    """An iteration of the mixture of linear experts of cgmm, where that is installed."""
    try:
        from cgmm import MixtureOfExpertsRegressor as Peer
    except ImportError:
        print("cgmm is not installed")
        return
    X, y = piecewise(n_samples, 10, 4)
    seconds, iterations = [], []
    for max_iter in (2, 6):
        peer = Peer(4, max_iter=max_iter, tol=0.0, random_state=0)
        before = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            peer.fit(X, y)
        seconds.append(time.perf_counter() - before)
        iterations.append(peer.n_iter_)
    iteration = (seconds[1] - seconds[0]) / (iterations[1] - iterations[0])
    print(f"cgmm: {iterations[1]} iterations of {iteration * 1e3:.0f} ms, d=10 K=4")


def piecewise(n_samples, n_features, n_experts):
    return make_piecewise_regression(
        n_samples, n_features, n_experts, random_state=0, return_X_y=True
    )


def e_step(quick):
    print("\nE-step (goal: 10 times)")
    bandwidth, _ = machine()
    numbers = np.linspace(-20.0, 0.0, 1000)
    exponential = median_time(lambda: np.exp(numbers), 101) / len(numbers)
    for n_samples, n_experts in ((100_000, 8), (100_000, 4), (10_000, 8), (10_000, 4)):
        rng = np.random.default_rng(0)
        log_gate = np.log(rng.dirichlet(np.ones(n_experts), n_samples))
        log_density = rng.normal(size=(n_samples, n_experts))

        def scipy_way(log_gate=log_gate, log_density=log_density):
            joint = log_gate + log_density
            total = logsumexp(joint, axis=1, keepdims=True)
            return np.exp(joint - total), total

        def numpy_way(log_gate=log_gate, log_density=log_density):
            joint = log_gate + log_density
            peak = joint.max(axis=1, keepdims=True)
            np.exp(np.subtract(joint, peak, out=joint), out=joint)
            total = joint.sum(axis=1, keepdims=True)
            return joint / total, np.log(total) + peak

        _arithmetic.e_step(log_gate, log_density)
        ours = median_time(lambda a=log_gate, b=log_density: _arithmetic.e_step(a, b), 21)
        scipy_time, numpy_time = median_time(scipy_way, 21), median_time(numpy_way, 21)
        print(f"N={n_samples} K={n_experts}: {ours * 1e3:.2f} ms, scipy "
              f"{scipy_time / ours:.1f} times, numpy {numpy_time / ours:.1f} times; its bytes "
              f"take {8e3 * n_samples * (3 * n_experts + 1) / bandwidth:.2f} ms, its exponentials "
              f"{1e3 * n_samples * n_experts * exponential:.2f} ms in NumPy")  # fmt: skip


def top_k(quick):
    print("\nX to top-2, 1e5 rows (goal: 3 times)")
    for n_features, n_experts in ((20, 8), (5, 4), (20, 32)):
        X, R = problem(100_000, n_features, n_experts)
        gate = SoftmaxGate(ALPHA, tol=1e-2).fit(X, R)

        def numpy_way(X=X, gate=gate):
            proba = softmax(X @ gate.coef_.T + gate.intercept_)
            chosen = np.argpartition(-proba, 1, axis=1)[:, :2]
            kept = np.take_along_axis(proba, chosen, axis=1)
            return chosen, kept / kept.sum(axis=1, keepdims=True)

        def numpy_indices(X=X, gate=gate):
            return np.argpartition(-(X @ gate.coef_.T + gate.intercept_), 1, axis=1)[:, :2]

        def ours(X=X, gate=gate):
            return gate.top_k(X, 2)

        ours()
        seconds, theirs, indices = (median_time(f, 11) for f in (ours, numpy_way, numpy_indices))
        print(f"d={n_features} K={n_experts}: {seconds * 1e4:.0f} ns a row, numpy with weights "
              f"{theirs / seconds:.1f} times, its indices alone "
              f"{indices / seconds:.1f} times")  # fmt: skip


MEMORY = """
import re, resource
import numpy as np
from skmoe.gates import SoftmaxGate
rng = np.random.default_rng(0)
n, d, k = 1_000_000, {d}, {k}
warm_up = rng.random((10_000, d)), rng.dirichlet(np.ones(k), 10_000)
SoftmaxGate().fit(*warm_up)
open("/proc/self/clear_refs", "w").write("5")  # forget the peak, which may be the compiler's
base = int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
X, R = rng.random((n, d)), rng.random((n, k))
R /= R.sum(axis=1, keepdims=True)
SoftmaxGate(tol=1e-3).fit(X, R)
status = open("/proc/self/status").read()
peak = int(re.search(r"VmHWM:\\s+(\\d+)", status).group(1)) * 1024 - base
print((peak - 3 * R.nbytes) / X.nbytes, (peak - X.nbytes - R.nbytes) / 2**20)
"""


def memory(quick):
    """Linux only."""
    print("\nPeak memory of a fit, N=1e6, X and R included (goal: 2.2 X + 3 N K)")
    for d, k in ((20, 8), (5, 8), (50, 4)):
        result = subprocess.run([sys.executable, "-c", MEMORY.format(d=d, k=k)],
                                capture_output=True, check=True)  # fmt: skip
        multiple, beyond = map(float, result.stdout.split())
        print(f"d={d} K={k}: {multiple:.2f} X + 3 N K; {beyond:.0f} MiB beyond X and R")


def machine():
    """Bytes per second of a sum and operations per second of a product."""
    big, square = np.ones(8_000_000), np.random.default_rng(0).normal(size=(1000, 1000))
    bandwidth = big.nbytes / median_time(big.sum, 9)
    return bandwidth, 2e9 / median_time(lambda: square @ square, 5)


def passes(quick):
    bandwidth, peak = machine()
    print(f"\nPass over the data (goals: within 1.7 of the bound, growth linear within 20%); "
          f"{bandwidth / 1e9:.1f} GB/s, {peak / 1e9:.0f} GFlop/s")  # fmt: skip
    base = (100_000, 20, 8)
    sizes = [base, (10_000, 20, 8), (1_000_000, 20, 8), (100_000, 5, 8), (100_000, 100, 8),
             (100_000, 20, 2), (100_000, 20, 64)]  # fmt: skip
    for n_samples, n_features, n_experts in sizes[:2] if quick else sizes:
        X, _ = problem(n_samples, n_features, n_experts)
        features = SoftmaxGate(ALPHA).prepare(X, np.ones(n_samples))
        design = features.solver_design(1, n_experts)
        weights = design.pack_weights(np.full(n_samples, 1e-5))
        coef = np.random.default_rng(0).normal(size=(n_experts - 1, n_features + 1)) / 10
        design.log_partition(weights, coef)
        seconds = median_time(lambda w=weights, c=coef, d=design: d.log_partition(w, c), 15)
        memory = (design.tiles.nbytes + weights.nbytes) / bandwidth
        operations = 4.0 * n_samples * coef.size / peak
        work = n_samples * (n_features + 1) * n_experts
        print(f"N={n_samples:7d} d={n_features:3d} K={n_experts:2d}: {seconds * 1e3:7.2f} ms, "
              f"{seconds / max(memory, operations):4.1f} of the larger bound, "
              f"{seconds / (memory + operations):4.1f} of their sum, "
              f"{seconds / work * 1e12:5.1f} ps per N D K")  # fmt: skip


FRESH = """
import sklearn.linear_model, numpy as np, time
rng = np.random.default_rng(0)
X = rng.normal(size=({n}, 10))
R = rng.dirichlet(np.ones(4), {n})
started = time.perf_counter()
from skmoe.gates import SoftmaxGate
SoftmaxGate().fit(X, R).predict_proba(X)
print(time.perf_counter() - started)
"""


def fresh(quick):
    print("\nFirst gate in a fresh process, beyond sklearn's import (goals: 1.0 s and 0.3 s)")
    for n_samples in (2000, 100_000):
        with tempfile.TemporaryDirectory() as cache:
            times = []
            for _ in range(3 if quick else 6):
                result = subprocess.run(
                    [sys.executable, "-c", FRESH.format(n=n_samples)],
                    env=os.environ | {"NUMBA_CACHE_DIR": cache}, capture_output=True, check=True,
                )  # fmt: skip
                times.append(float(result.stdout))
        print(f"N={n_samples}: empty cache {times[0]:.2f} s, then "
              f"{statistics.median(times[1:]):.2f} s")  # fmt: skip


SECTIONS = {
    function.__name__: function
    for function in (cold, methods, warm, em, e_step, top_k, passes, memory, fresh)
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, for a first look")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    arguments = parser.parse_args()
    for name in arguments.only:
        SECTIONS[name](arguments.quick)


if __name__ == "__main__":
    main()
