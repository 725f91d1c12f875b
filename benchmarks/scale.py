"""What a fit costs as rows grow, what it would send to a cluster, and how well that would be used.

Each case is a process of its own with one thread; seconds are the processor's. *Memory* is the
peak beyond that of the data and of a small fit, in multiples of X. *Tasks* are the calls that may
go to workers. *Bytes* are those of pickled arguments and results in an EM iteration (the median),
in multiples of X, without arguments that all tasks share (they travel once). *Efficiency* is
simulated: tasks of the measured times are given to so many workers in their order, and all else is
done by one; nothing is added for the way there.

*Stream*: one pass of ``partial_fit`` in chunks of 2,000 rows beside EM on all rows, both
with the same settings and from the same start, a mixture of the first chunk, whose seconds are a
column of their own; the ratio is that of the pass over all other chunks to EM; log-likelihood on
20,000 new rows.

*Cluster*: the same fit of boosted trees, two iterations of EM, here with one thread and on a dask
cluster of two processes on this machine; medians of seconds by the clock, in turns. What others do
on the machine is in them, so that those of the processor stand beside: those of this process, and
of the busier one of the cluster.

    python benchmarks/scale.py [--rows 10000 100000] [--experts linear trees forests boosting]
        [--large] [--only fit stream cluster]

``--large`` adds 1,000,000 rows.
"""

import argparse
import heapq
import multiprocessing
import os
import pickle
import resource
import time
import warnings
from contextlib import nullcontext

import numpy as np
from joblib import parallel_config
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.tree import DecisionTreeRegressor
from threadpoolctl import threadpool_limits

from skmoe import MixtureOfExpertsRegressor, SoftmaxGate
from skmoe._experts.workers import Workers

N_FEATURES, N_REGIMES, N_EXPERTS, CHUNK = 20, 4, 4, 2000
WORKERS = (2, 8, 16)
EXPERTS = {
    "linear": Ridge(),
    "trees": DecisionTreeRegressor(min_samples_leaf=20),
    "forests": RandomForestRegressor(min_samples_leaf=5),
    "boosting": HistGradientBoostingRegressor(max_iter=40),
}
MEMORY_IS_KEPT = {
    f"distributed.nanny.pre-spawn-environ.MALLOC_{name}_THRESHOLD_": 2**25
    for name in ("TRIM", "MMAP")
}
"""Workers of dask give memory back at once, and ask for it again: boosting takes twice as long."""

GOALS = {"bytes": 4.0, "memory": 10.0, "difference": -0.002, "time": 0.1, "cluster": 0.6}
CLUSTER_ROWS, CLUSTER_RUNS = 20_000, 2


def rows(n, seed):
    """Linear laws in regions that a softmax parts, with noise."""
    truth = np.random.default_rng(0)
    slopes = truth.normal(size=(N_REGIMES, N_FEATURES))
    borders = truth.normal(size=(N_REGIMES, N_FEATURES))
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, N_FEATURES))
    scores = X @ borders.T
    regime = (scores + rng.gumbel(size=scores.shape)).argmax(axis=1)
    return X, (X @ slopes.T)[np.arange(n), regime] + 0.5 * rng.normal(size=n)


def mixture(expert, **parameters):
    """Settings under which no search decides what is compared."""
    settings = {
        "n_experts": N_EXPERTS,
        "gate": SoftmaxGate(),
        "overlap": 0.0,
        "init": "auto",
        "shared_expert": None,
        "density": "mixture",
        "random_state": 0,
    }
    return MixtureOfExpertsRegressor(expert, **settings | parameters)


class Recorder:
    """Makes the calls of `Workers` one by one, and notes seconds and bytes of each.

    Attributes
    ----------
    groups : list of list of float
        Seconds of the processor for the calls that may be made at a time.
    sent : list of int
        Bytes of each group.
    counting : float
        Seconds that it took to count them.
    """

    def __init__(self):
        self.groups, self.sent, self.counting = [], [], 0.0

    def __call__(self, workers, calls):
        began, shared = time.process_time(), {id(one) for one in workers.shared}
        seconds, n_bytes, results = [], 0, []
        for function, arguments in calls:
            own = [one for one in arguments if id(one) not in shared]
            n_bytes += len(pickle.dumps((function, own), protocol=5))
            started = time.process_time()
            results.append(function(*arguments))
            seconds.append(time.process_time() - started)
            n_bytes += len(pickle.dumps(results[-1], protocol=5))
        self.counting += time.process_time() - began - sum(seconds)
        self.groups.append(seconds)
        self.sent.append(n_bytes)
        return results


def makespan(seconds, n_workers):
    """Seconds until all calls are done, each by the first worker that is free."""
    free = [0.0] * n_workers
    for each in seconds:
        heapq.heappush(free, heapq.heappop(free) + each)
    return max(free)


def efficiencies(total, groups):
    """Part of so many workers' time that is used."""
    alone = total - sum(map(sum, groups))
    return [total / (n * (alone + sum(makespan(group, n) for group in groups))) for n in WORKERS]


def peak():
    """Most bytes that this process has had."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measure_fit(kind, n):
    """Figures of one fit."""
    warnings.simplefilter("ignore")
    X, y = rows(n, 1)
    with threadpool_limits(1):
        mixture(EXPERTS[kind], max_iter=2).fit(X[:1000], y[:1000])  # imports
        many, its_y = rows(20_000, 3)
        mixture(Ridge(), max_iter=2).fit(many[:, :3], its_y)  # compiles
        recorder = Recorder()
        Workers.have_own_memory = True  # so that models are fitted there, too, but do not travel
        Workers.run = lambda workers, calls, tell=None: recorder(workers, calls)
        before, started = peak(), time.process_time()
        fitted = mixture(EXPERTS[kind]).fit(X, y)
        seconds = time.process_time() - started - recorder.counting
    memory = (peak() - before) / X.nbytes
    n_tasks = sum(map(len, recorder.groups))
    sent = [
        n_bytes for n_bytes, calls in zip(recorder.sent, recorder.groups, strict=True) if calls
    ]
    n_bytes = np.median(sent or [0]) / X.nbytes
    used = efficiencies(seconds, recorder.groups)
    return seconds, fitted.n_iter_, memory, n_tasks, n_bytes, *used


def measure_stream(n):
    """Seconds of the processor and log-likelihoods, of EM on all rows and of one pass."""
    warnings.simplefilter("ignore")
    (X, y), new = rows(n, 1), rows(20_000, 2)
    with threadpool_limits(1):
        first = mixture(Ridge()).fit(X[:CHUNK], y[:CHUNK])
        # From where the stream starts: on its own EM ended elsewhere, once in a poor optimum.
        start = first.responsibilities(X, y)
        mixture(Ridge(), init=start, max_iter=1).fit(X, y)  # compiles
        batch, batch_seconds = timed(mixture(Ridge(), init=start).fit, X, y)
        stream, start_seconds = timed(mixture(Ridge()).partial_fit, X[:CHUNK], y[:CHUNK])
        _, seconds = timed(one_pass, stream, X[CHUNK:], y[CHUNK:])
    return (
        batch_seconds,
        start_seconds,
        seconds,
        batch.log_density(*new).mean(),
        stream.log_density(*new).mean(),
        stream.stream_.log_likelihood[1:].mean(),
    )


def timed(function, *arguments):
    """Result of a call, and seconds of the processor."""
    started = time.process_time()
    result = function(*arguments)
    return result, time.process_time() - started


def one_pass(stream, X, y):
    """Learn from one chunk after the other."""
    for first in range(0, len(y), CHUNK):
        stream.partial_fit(X[first : first + CHUNK], y[first : first + CHUNK])


def measure_cluster(n):
    """Median seconds of a fit here and in two processes: by the clock, and by the processor."""
    import dask
    from dask.distributed import Client, LocalCluster

    warnings.simplefilter("ignore")
    dask.config.set(MEMORY_IS_KEPT)
    X, y = rows(n, 1)
    model = mixture(EXPERTS["boosting"], init="leaves", max_iter=2)
    clock, processor = np.empty((2, CLUSTER_RUNS, 2))
    processes = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0")
    with processes as cluster, Client(cluster) as client, threadpool_limits(1):
        for run in range(-1, CLUSTER_RUNS):  # the first imports and compiles
            some = slice(1000 if run < 0 else n)
            for way, context in enumerate([nullcontext(), parallel_config("dask")]):
                before = client.run(time.process_time)
                started = time.perf_counter(), time.process_time()
                with context:
                    model.fit(X[some], y[some])
                clock[run, way] = time.perf_counter() - started[0]
                own = time.process_time() - started[1]
                after = client.run(time.process_time)
                processor[run, way] = own + max(after[each] - before[each] for each in after)
    return *np.median(clock, axis=0), *np.median(processor, axis=0)


def in_its_own_process(function, *arguments):
    """The result of a function, and memory that is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def report_fit(kinds, numbers):
    """Print a line for each kind of experts and number of rows."""
    print("experts      rows  seconds  iterations  memory  tasks  bytes  efficiency 2, 8, 16")
    for kind in kinds:
        for n in numbers:
            seconds, n_iter, memory, n_tasks, n_bytes, *used = in_its_own_process(
                measure_fit, kind, n
            )
            parts = ", ".join(f"{each:.2f}" for each in used)
            print(
                f"{kind:8} {n:8} {seconds:8.1f} {n_iter:11} {memory:7.1f} {n_tasks:6} "
                f"{n_bytes:6.2f}  {parts}",
                flush=True,
            )
    print(f"goals: memory {GOALS['memory']:g}, bytes {GOALS['bytes']:g}")


def report_stream(numbers):
    """Print a line for each number of rows."""
    print("stream       rows  seconds: EM, start, pass; pass / EM  log-likelihoods  difference")
    for n in numbers:
        batch_seconds, start_seconds, seconds, batch, stream, scored = in_its_own_process(
            measure_stream, n
        )
        print(
            f"         {n:8} {batch_seconds:8.2f} {start_seconds:8.2f} {seconds:8.2f} "
            f"{seconds / batch_seconds:8.3f}  {batch:8.4f} {stream:8.4f}  "
            f"{stream - batch:+.4f}  (while learning {scored:.4f})",
            flush=True,
        )
    print(f"goals: ratio {GOALS['time']:g}, difference {GOALS['difference']:g}")


def report_cluster():
    """Print what two processes gain."""
    here, there, *busy = measure_cluster(CLUSTER_ROWS)
    load, n_processors = os.getloadavg()[0], os.cpu_count()
    print("cluster      rows  seconds here, there, ratio  of the processor: here, there, ratio")
    print(
        f"         {CLUSTER_ROWS:8} {here:8.1f} {there:8.1f} {there / here:5.2f}  "
        f"{busy[0]:8.1f} {busy[1]:8.1f} {busy[1] / busy[0]:5.2f}  "
        f"(load {load:.1f} of {n_processors} processors)"
    )
    print(f"goal: ratio {GOALS['cluster']:g}")


def main():
    parts = ["fit", "stream", "cluster"]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="+", type=int, default=[10_000, 100_000])
    parser.add_argument("--experts", nargs="+", choices=EXPERTS, default=list(EXPERTS))
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--only", nargs="+", choices=parts, default=parts)
    chosen = parser.parse_args()
    numbers = chosen.rows + ([1_000_000] if chosen.large else [])
    if "fit" in chosen.only:
        report_fit(chosen.experts, numbers)
    if "stream" in chosen.only:
        report_stream(numbers)
    if "cluster" in chosen.only:
        report_cluster()


if __name__ == "__main__":
    main()
