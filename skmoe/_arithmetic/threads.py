"""Threads for kernels that release the global interpreter lock, within the limits of others.

There are as many threads as BLAS may use: so the usual environment variables, ``threadpoolctl``
and the workers of joblib, which limit that, limit this too. Within a joblib worker there is one.
While they run, BLAS itself has one thread each: its own threads are no help with products of the
size of a tile, and on a busy machine they wait for each other a hundred times longer than they
compute.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache

from joblib.parallel import get_active_backend
from threadpoolctl import ThreadpoolController

WORTH_SHARING = 300_000
"""Nanoseconds of work from which threads pay."""

N_PARTS = 16
"""Parts that work is cut into, however many threads there are: sums are then always the same."""


def run_in_parts(function, n_items, nanoseconds):
    """Apply a function to consecutive ranges of items.

    Parameters
    ----------
    function : callable
        Takes the first item and the one after the last; releases the lock.
    n_items : int
    nanoseconds : float
        Rough duration of the whole on one thread.

    Returns
    -------
    results : list
        In the order of the ranges. Their number depends on the arguments alone.
    """
    n_parts = min(N_PARTS, n_items) if nanoseconds >= WORTH_SHARING else 1
    bounds = [n_items * part // n_parts for part in range(n_parts + 1)]
    ranges = list(zip(bounds[:-1], bounds[1:], strict=True))
    n_threads = min(n_threads_allowed(), n_parts)
    with one_blas_thread():
        if n_threads == 1:
            return [function(*limits) for limits in ranges]
        shares = [ranges[thread::n_threads] for thread in range(n_threads)]
        futures = [_pool().submit(_run_all, function, share) for share in shares]
        results = [None] * n_parts
        for thread, future in enumerate(futures):
            results[thread::n_threads] = future.result()
    return results


def n_threads_allowed():
    """Threads that a computation started here and now may use."""
    if get_active_backend()[0].nesting_level:
        return 1
    libraries = _controller().select(user_api="blas").lib_controllers
    return max(1, min((library.num_threads for library in libraries), default=1))


@contextmanager
def one_blas_thread():
    """Limit BLAS to one thread, unless another thread of this process does so at the moment.

    The limit is one of the whole process. A computation that remembered the limit of another as
    what it had found would leave that behind for good. So only one at a time sets it, and the
    same sets it back; the others profit while it lasts.
    """
    lock = _limiting
    if not lock.acquire(blocking=False):
        yield
        return
    try:
        with _controller().limit(limits=1, user_api="blas"):
            yield
    finally:
        lock.release()


def openmp_threads(n_threads):
    """Context in which OpenMP has so many threads; the limit is one of this thread alone."""
    return _controller().limit(limits=n_threads, user_api="openmp")


_limiting = threading.Lock()


def _after_fork():
    """Threads do not survive a fork: neither the pool's, nor one that was to open the lock."""
    global _limiting
    _limiting = threading.Lock()
    _pool.cache_clear()


def _run_all(function, ranges):
    return [function(*limits) for limits in ranges]


@cache
def _controller():
    return ThreadpoolController()


@cache
def _pool():
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="skmoe")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
