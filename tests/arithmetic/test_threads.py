"""Threads of the gate: as many as allowed, and of no influence on results."""

import multiprocessing
import threading
from contextlib import suppress

import numpy as np
import pytest
from joblib import Parallel, delayed
from threadpoolctl import ThreadpoolController, threadpool_info, threadpool_limits

from skmoe._arithmetic.threads import N_PARTS, WORTH_SHARING, n_threads_allowed, run_in_parts
from skmoe.gates import SoftmaxGate


@pytest.mark.parametrize("n_items", [1, 3, 16, 1001])
@pytest.mark.parametrize("n_threads", [1, 3])
def test_parts_cover_all_items_in_order(n_items, n_threads):
    with threadpool_limits(n_threads):
        parts = run_in_parts(lambda start, stop: range(start, stop), n_items, 2 * WORTH_SHARING)
    assert [item for part in parts for item in part] == list(range(n_items))
    assert len(parts) == min(n_items, N_PARTS)


def names_of_threads(nanoseconds=2 * WORTH_SHARING):
    barrier = threading.Barrier(2, timeout=0.5)

    def name(start, stop):
        try:
            barrier.wait()  # a second thread, if there is one, gets its turn
        except threading.BrokenBarrierError:
            pass
        return threading.current_thread().name

    return set(run_in_parts(name, 16, nanoseconds))


def test_limits_are_respected():
    with threadpool_limits(3):
        assert n_threads_allowed() == 3
        assert len(names_of_threads()) in (2, 3)
        assert names_of_threads(0.5 * WORTH_SHARING) == {threading.current_thread().name}
    with threadpool_limits(1):
        assert names_of_threads() == {threading.current_thread().name}


@pytest.mark.parametrize("prefer", ["threads", "processes"])
def test_one_thread_in_workers(prefer):
    allowed = Parallel(n_jobs=2, prefer=prefer)(delayed(n_threads_allowed)() for _ in range(2))
    assert allowed == [1, 1]


def test_blas_has_one_thread_for_as_long_as_it_takes():
    def counts(*_):
        return {lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"}

    with threadpool_limits(2):
        assert run_in_parts(counts, 2, 0) == [{1}]
        assert counts() == {2}


def blas_threads():
    return {lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"}


@pytest.fixture
def two_blas_threads():
    """Not by a limit: beside one, new releases of threadpoolctl ignore those of other threads."""
    libraries = ThreadpoolController().select(user_api="blas").lib_controllers
    before = [library.num_threads for library in libraries]
    for library in libraries:
        library.set_num_threads(2)
    yield
    for library, number in zip(libraries, before, strict=True):
        library.set_num_threads(number)


@pytest.mark.usefixtures("two_blas_threads")
@pytest.mark.parametrize("fails", [False, True])
def test_after_overlapping_computations_blas_may_use_what_it_might_before(fails):
    """The second enters before the first leaves, and leaves after it."""
    entered, both_inside, first_left = (threading.Event() for _ in range(3))

    def first(start, stop):
        entered.set()
        assert both_inside.wait(5)
        if fails:
            raise ZeroDivisionError

    def second(start, stop):
        both_inside.set()
        assert first_left.wait(5)

    def run_first():
        with suppress(ZeroDivisionError):
            run_in_parts(first, 1, 0)
        first_left.set()

    assert blas_threads() == {2}
    threads = [threading.Thread(target=run_first)]
    threads.append(threading.Thread(target=run_in_parts, args=(second, 1, 0)))
    threads[0].start()
    assert entered.wait(5)
    threads[1].start()
    for thread in threads:
        thread.join()
    assert blas_threads() == {2}


def test_errors_arrive():
    with threadpool_limits(2), pytest.raises(ZeroDivisionError):
        run_in_parts(lambda start, stop: 1 / 0, 16, 2 * WORTH_SHARING)


def large_problem():
    """A function that makes passes over data which are worth sharing."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30_000, 8))
    design = SoftmaxGate().prepare(X, np.ones(30_000)).solver_design(1, 4)
    targets = rng.dirichlet(np.ones(4), 30_000)
    weights = design.pack_weights(np.full(30_000, 1 / 30_000))
    log_density = design.pack_log_density(np.log(targets))
    coef = rng.normal(size=(4, 9))

    def passes():
        return (
            design.target_moments(targets, weights),
            *design.log_partition(weights, coef[:-1]),
            *design.mixture_loss_and_gradient(log_density, weights, coef[:-1]),
            design.log_softmax(coef),
        )

    return passes


def test_results_do_not_depend_on_the_number_of_threads():
    passes = large_problem()
    with threadpool_limits(1):
        alone = passes()
    with threadpool_limits(3):
        for shared, expected in zip(passes(), alone, strict=True):
            np.testing.assert_array_equal(shared, expected)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_does_not_wait_for_threads_it_does_not_have():
    with threadpool_limits(2):
        large_problem()()
        with multiprocessing.get_context("fork").Pool(1) as pool:
            names = pool.apply_async(names_of_threads).get(timeout=60)
    assert names
