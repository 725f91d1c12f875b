"""Workers that experts are fitted in, for as long as a training lasts.

Calls go through joblib, whose backends (threads, processes, ray, spark) all serve, and to dask by
a way of their own. What many calls have in common, X above all, has to be an argument of its own:
it is found there, and sent once. In a tuple it would be sent with every call.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from typing import Any

from joblib import cpu_count, effective_n_jobs, parallel_config
from joblib.parallel import ThreadingBackend, get_active_backend
from sklearn.utils.parallel import Parallel, delayed

from .._arithmetic.threads import one_blas_thread, openmp_threads
from ..exceptions import WorkersLostError
from .cluster import Cluster, is_client_of_cluster

Call = tuple[Callable[..., Any], tuple[Any, ...]]
"""A function and its arguments."""

Tell = Callable[[int, int], None]

ON_THIS_MACHINE = ("LokyBackend", "MultiprocessingBackend", "ThreadingBackend")
"""Backends of joblib whose workers share the processors of the process that starts them."""

PATIENCE = 60
"""Seconds to wait for workers in place of those that have died."""

LOST = ("BrokenExecutor", "CancelledError", "KilledWorker", "WorkerCrashedError")
"""Classes of exceptions by which joblib, dask and ray say that a worker has died.

dask cancels calls whose data were with workers that are gone.
"""


class Workers:
    """Workers for the calls of one training.

    In a ``with`` statement they stay until it is left; else they are there for one `run`, and some
    backends (ray) take longer to start them than the calls. What else is computed in that
    statement with joblib, it computes in threads of this process: it would end these workers, if
    it used the same, and the trees of a forest are slow to travel.

    Parameters
    ----------
    n_jobs : int or None
        As joblib takes it.
    shared : tuple, default=()
        Arguments that all runs have in common. Where they have to travel, they do so once.
    """

    def __init__(self, n_jobs: int | None = None, shared: tuple[Any, ...] = ()):
        self.n_jobs = n_jobs
        self.shared = shared
        self._backend: Any = None
        self._n_workers = 1
        self._started: Any = None
        self._pool = ExitStack()
        self._entered = ExitStack()

    def __enter__(self) -> Workers:
        self._backend, _ = get_active_backend()
        self._n_workers = effective_n_jobs(self.n_jobs)
        if self._n_workers > 1:
            threads = self._n_workers if self._on_this_machine else cpu_count()
            self._entered.enter_context(parallel_config(backend="threading", n_jobs=threads))
        return self

    def __exit__(self, *error: Any) -> None:
        self._stop()
        self._entered.close()
        self._backend, self._n_workers = None, 1

    @property
    def have_own_memory(self) -> bool:
        """Whether results come from other processes, so that large ones are slow to arrive."""
        return self._n_workers > 1 and not getattr(self._backend, "supports_sharedmem", False)

    def run(self, calls: Sequence[Call], tell: Tell | None = None) -> list[Any]:
        """Results of all calls, in their order.

        If a worker dies, all calls are made once more: a cluster may have taken it away, or its
        neighbours the memory that it needed.

        Parameters
        ----------
        calls : sequence of Call
        tell : callable or None
            Called with the number of calls that are done, and how many there are.

        Raises
        ------
        WorkersLostError
            If a worker dies again.
        """
        if self._backend is None:
            with self:
                return self.run(calls, tell)
        try:
            return self._run(calls, tell)
        except Exception as error:
            if not is_loss(error):
                raise
            self._wait_for_workers(error)
        try:
            return self._run(calls, tell)
        except Exception as error:
            if not is_loss(error):
                raise
            raise _lost(error, "and so did one when the same was tried again") from error

    def _wait_for_workers(self, error):
        """Wait until others are in their place.

        If there is but one, joblib does the work in this process: what has killed the workers
        might end that.
        """
        until = time.monotonic() + PATIENCE
        while (n_workers := self._backend.effective_n_jobs(self._n_workers)) < self._n_workers:
            if time.monotonic() > until:
                if n_workers > 1:
                    return
                raise _lost(error, f"and none came to replace it in {PATIENCE} s") from error
            time.sleep(0.1)

    def _run(self, calls, tell):
        n_workers = min(self._n_workers, len(calls))
        if n_workers <= 1:
            results = (function(*arguments) for function, arguments in calls)
            return _counted(results, len(calls), tell)
        own_threads = max(1, cpu_count() // n_workers) if self._on_this_machine else 1
        # BLAS has one limit for the process, which its threads cannot set each for itself. Other
        # processes are started with a limit.
        threads = getattr(self._backend, "supports_sharedmem", False)
        bounded = [(within, (own_threads, function, *arguments)) for function, arguments in calls]
        try:
            if self._started is None:
                self._started = self._start()
            with one_blas_thread() if threads else nullcontext():
                return _counted(self._started(bounded), len(calls), tell)
        except BaseException:
            self._stop()
            raise

    def _start(self):
        if is_client_of_cluster(self._backend):
            return Cluster(self._backend, self.shared)
        one_by_one = getattr(self._backend, "supports_return_generator", False)
        parallel = Parallel(
            n_jobs=self._n_workers,
            backend=self._backend,
            return_as="generator" if one_by_one else "list",
        )
        self._pool.enter_context(parallel)
        return lambda calls: parallel(delayed(function)(*given) for function, given in calls)

    @property
    def _on_this_machine(self):
        return type(self._backend).__name__ in ON_THIS_MACHINE

    def _stop(self):
        self._started = None
        self._pool.close()


def _counted(results, n_calls, tell):
    """All results as a list; tells how many there are whenever one arrives."""
    if tell is None or not n_calls:
        return list(results)
    tell(0, n_calls)
    arrived = []
    for result in results:
        arrived.append(result)
        tell(len(arrived), n_calls)
    return arrived


def within(n_threads: int, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a worker, with so many threads for whatever it starts itself.

    Workers that each take all processors (an expert with ``n_jobs=-1`` does) are in each other's
    way. In those of dask nested calls would go back to the cluster, with their data.
    """
    with parallel_config(backend=FewThreads(n_threads), n_jobs=1), openmp_threads(n_threads):
        return function(*arguments)


class FewThreads(ThreadingBackend):
    """Threads, but never more than so many.

    Parameters
    ----------
    n_threads : int
    """

    def __init__(self, n_threads: int):
        super().__init__(nesting_level=1)
        self.n_threads = n_threads

    def effective_n_jobs(self, n_jobs):
        """Threads for somebody who wants `n_jobs`."""
        return min(self.n_threads, super().effective_n_jobs(n_jobs))


def _lost(error, further):
    return WorkersLostError(
        f"a worker died while it fitted experts, {further} ({type(error).__name__}: {error}); it "
        "may lack memory, so use fewer workers (n_jobs) or smaller experts. What was learned "
        "until then is the attribute `partial_` of this error"
    )


def is_loss(error: BaseException) -> bool:
    """Whether an exception says that a worker has died."""
    return any(kind.__name__ in LOST for kind in type(error).__mro__)
