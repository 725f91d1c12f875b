"""What prediction costs: throughput and latency of sparse mixtures, beside ensembles and DESlib.

Run ``python benchmarks/serving.py [--only PART ...] [--quick]``. All models of a line share the
same fitted experts, one per regime of a synthetic problem, and are timed in the same process, on
one thread. See README.md, also for figures.
"""

import argparse
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from statistics import median
from time import perf_counter, process_time

import numpy as np
from _data import DATA, load_split, tasks
from _serving import (
    EXPERTS,
    ROWS_PER_EXPERT,
    Clock,
    compile_kernels,
    dynamic_selections,
    ensembles,
    five,
    mixture,
    problem,
    row,
    seconds,
    table,
)
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from skmoe import MixtureOfExpertsClassifier
from skmoe.gates import SoftmaxGate

THREADS = (1, 2, 8)
CHUNK = 10_000
"""Rows that DESlib gets at once; its intermediate results for 100,000 fill the memory."""


def grid(kinds, numbers_of_experts, batches, repeats):
    """Latency of one row, or rows per second, of all models."""
    models = ["top_k=1", "top_k=2", "dense", "stacking", "voting", "KNORA-E", "META-DES"]
    print("\nMicroseconds for one row; thousands of rows per second for more.\n")
    table("experts", "K", "rows", *models)
    for kind in kinds:
        for n_experts in numbers_of_experts:
            for batch in batches:
                times = cell(kind, n_experts, batch, repeats)
                figures = [figure(times.get(name), batch) for name in models]
                row(kind, n_experts, batch, *figures)


def cell(kind, n_experts, batch, repeats):
    X, _, _ = problem(n_experts, batch, 3)
    model = mixture(kind, n_experts)
    times = {}
    for top_k, name in [(1, "top_k=1"), (2, "top_k=2"), (None, "dense")]:
        model.set_params(top_k=top_k)
        times[name] = seconds(lambda: model.predict_proba(X), repeats)
    for name, rival in ensembles(kind, n_experts).items():
        times[name] = seconds(lambda rival=rival: rival.predict_proba(X), repeats)
    chunks = [X[start : start + CHUNK] for start in range(0, batch, CHUNK)]
    for name, rival in dynamic_selections(kind, n_experts).items():
        times[name] = seconds(
            lambda rival=rival: [rival.predict_proba(c) for c in chunks], repeats
        )
    return times


def figure(time_taken, batch):
    if time_taken is None:
        return "-"
    return f"{time_taken * 1e6:.0f}" if batch == 1 else f"{batch / time_taken / 1e3:.1f}"


def throughput(quick):
    """One expert a row against all of them; beside it, what the experts' own calls allow.

    Sixteen calls of 6,250 rows each cost more than one of 100,000: scikit-learn spends about
    40 microseconds per tree and call, and each block finds the caches and branch predictors of
    the processor trained on another tree. No way of dispatching rows escapes that.
    """
    model = mixture("forest", 16)
    for n_samples in (20_000,) if quick else (100_000, 400_000):
        X, _, _ = problem(16, n_samples, 3)
        dense, dense_experts = timed(model.set_params(top_k=None), X, 2)
        sparse, sparse_experts = timed(model.set_params(top_k=1), X, 5)
        rows = np.bincount(model.apply(X), minlength=16)
        goal(
            f"top_k=1 against dense, 16 forests, {n_samples} rows (share of an expert "
            f"{rows.min() / n_samples:.3f}-{rows.max() / n_samples:.3f}; the experts' own calls "
            f"alone {dense_experts / sparse_experts:.1f} times)",
            f"{dense / sparse:.1f} times",
            "at least 13.6 times",
            dense / sparse >= 0.85 * 16,
        )


def timed(model, X, repeats):
    """Seconds of `predict_proba` and those of them inside the forests, of the quickest run."""
    runs = []
    for _ in range(repeats):
        Clock.seconds = 0.0
        started = process_time()
        model.predict_proba(X)
        runs.append((process_time() - started, Clock.seconds))
    return min(runs)


def overhead(quick):
    """All that is not an expert's `predict_proba`."""
    X, _, _ = problem(16, 100_000, 3)
    model = mixture("forest", 16).set_params(top_k=1)
    one = clone(EXPERTS["forest"]).fit(*problem(16, 16 * ROWS_PER_EXPERT, 1)[:2])
    parts, products = [], []
    for _ in range(3 if quick else 7):
        whole, experts = timed(model, X, 1)
        parts.append((whole - experts) / seconds(lambda: one.predict_proba(X), 1))
        products.append((whole - experts) / seconds(lambda: X @ model.gate_.coef_.T, 1))
    goal(
        f"all but the experts, K=16, 100000 rows, against a forest of 50 on all rows; it takes "
        f"{median(products):.1f} matrix products",
        f"{median(parts):.1%}",
        "at most 5%",
        median(parts) <= 0.05,
    )


def latency(quick):
    """A single row, in alternation with one linear model."""
    X, y, _ = problem(16, 2000, 3)
    linear = LogisticRegression().fit(X, y)
    for terms in ("linear", "splines"):
        model = MixtureOfExpertsClassifier(
            n_experts=16, gate=SoftmaxGate(terms=terms), top_k=1, max_iter=2, random_state=0
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(X, y)
        latency_of(model, linear, X[:1], terms, quick)


def latency_of(model, linear, single, terms, quick):
    ours, theirs = [], []
    for _ in range(50 if quick else 200):
        ours.append(seconds(lambda: model.predict_proba(single), 3, at_least=0.005))
        theirs.append(seconds(lambda: linear.predict_proba(single), 3, at_least=0.005))
    ratio, usual = min(ours) / min(theirs), median(ours) / median(theirs)
    goal(
        f"one row, top_k=1, 16 linear experts, gate of terms={terms}, against "
        f"LogisticRegression; best of "
        f"{len(ours)}, {1e6 * min(ours):.0f} against {1e6 * min(theirs):.0f} microseconds "
        f"(medians: {usual:.2f} times)",
        f"{ratio:.2f} times",
        "at most 1.2 times",
        ratio <= 1.2,
    )


def pools(quick):
    """A single row asked of a pool of five, in alternation with the five, called one by one."""
    single = problem(16, 1, 3)[0]
    for model, ask in [(five(True), "predict_proba"), (five(False), "predict")]:
        asked = [getattr(expert, ask) for expert in model.experts_]
        heard = model.predict_experts(single), model.gate_columns_.transform(single)
        whole, parts, consensus = [], [], []
        for _ in range(30 if quick else 200):
            whole.append(seconds(partial(getattr(model, ask), single), 1, at_least=0.02))
            parts.append(seconds(partial(ask_all, asked, single), 1, at_least=0.02))
            shared = partial(model.shared_expert_.predict, *heard)
            consensus.append(seconds(shared, 1, at_least=0.005))
        ratio = median(whole) / median(parts)
        label = f"one row, pool of five, {ask}, medians of {len(whole)}"
        goal(
            f"{label}: against the sum of its experts, {1e3 * median(parts):.1f} ms "
            f"(best: {min(whole) / min(parts):.2f} times)",
            f"{ratio:.2f} times",
            "at most 1.2 times",
            ratio <= 1.2,
        )
        goal(
            f"{label}: the consensus, once the experts have spoken",
            f"{1e3 * median(consensus):.2f} ms",
            "at most 0.3 ms",
            median(consensus) <= 3e-4,
        )


def threads(quick):
    """One model asked from several threads at once, by the clock: who releases Python's lock?"""
    X = problem(16, 2_000 if quick else 20_000, 3)[0]
    cores = len(os.sched_getaffinity(0))
    print(f"\nThousands of rows per second, {len(X)} rows a call, {cores} processors\n")
    table("model", *(f"{n} threads" for n in THREADS), "8 against 1")
    models = {
        "16 forests, top_k=1": mixture("forest", 16).set_params(top_k=1),
        "16 linear, top_k=1": mixture("linear", 16).set_params(top_k=1),
        "pool of five": five(True),
    }
    for name, model in models.items():
        model.predict_proba(X)
        rates = [rate_of(model, X, n, 4 if quick else 8) for n in THREADS]
        row(name, *(f"{rate / 1e3:.1f}" for rate in rates), f"{rates[-1] / rates[0]:.2f}")
        model.set_params(top_k=None)


def rate_of(model, X, n_threads, n_calls):
    """Rows per second of so many calls by a number of threads."""
    with ThreadPoolExecutor(n_threads) as executor:
        started = perf_counter()
        said = list(executor.map(model.predict_proba, [X] * n_calls))
        seconds_taken = perf_counter() - started
    if not all(np.array_equal(each, said[0]) for each in said):
        raise AssertionError("threads have got different answers")
    return n_calls * len(X) / seconds_taken


def ask_all(calls, X):
    for call in calls:
        call(X)


def max_error(quick):
    """The largest error in random rows, with a sharper gate and with the gate as it is."""
    n_batches = 1 if quick else 10
    model = mixture("forest", 16).set_params(top_k=None)
    sharp = model.gate_
    for temperature in (0.25, 1.0):  # the hotter, the more experts a row needs
        model.gate_ = heated(sharp, temperature)
        measured = [
            truncation(model, problem(16, 100_000, 100 + seed)[0]) for seed in range(n_batches)
        ]
        worst = max(error for _, error in measured)
        goal(
            f"max_error=0.01, 16 forests, {n_batches * 100_000} random rows, gate's temperature "
            f"{temperature:g}: mean k {np.mean([k for k, _ in measured]):.2f}",
            f"largest error {worst:.5f}",
            "at most 0.01",
            worst <= 0.01 + 1e-14,
        )
    model.gate_ = sharp


def heated(gate, temperature):
    """The fitted gate with softer or, below 1, sharper borders."""
    hot = clone(gate).set_params(temperature=temperature * gate.temperature)
    vars(hot).update({name: value for name, value in vars(gate).items() if name.endswith("_")})
    return hot


def real_sets(quick):
    """Mean k for max_error=0.01 on real data sets; 16 forests trained on 1,500 rows.

    The bound is checked on the test rows and on a million random ones, each column drawn for
    itself from the training values, so that most rows lie where there are no data.
    """
    if not DATA.is_dir():
        print(f"{DATA} does not exist: no figures on real data")
        return
    print("\nmax_error=0.01, 16 forests of 10 trees, 1500 training rows\n")
    table(
        "set", "overlap", "test rows", "mean k", "largest error", "accuracy", "of all experts",
        "of top_k=1", "random rows", "mean k", "largest error",
    )  # fmt: skip
    names = [name for name, task in tasks(DATA).items() if task == "classification"]
    for name in names[:2] if quick else names:
        X, X_test, y, y_test = load_split(DATA, name, "classification", 1500, 0)
        forest = RandomForestClassifier(10, min_samples_leaf=3)
        model = MixtureOfExpertsClassifier(
            forest, n_experts=16, e_step="oob", max_iter=3, random_state=0
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(X, y)
        per_row, error = truncation(model, X_test)
        bounded = np.mean(model.predict(X_test, max_error=0.01) == y_test)
        dense = model.score(X_test, y_test)
        single = model.set_params(top_k=1).score(X_test, y_test)
        model.set_params(top_k=None)
        rng = np.random.default_rng(0)
        random = [
            truncation(model, np.column_stack([rng.choice(column, 100_000) for column in X.T]))
            for _ in range(1 if quick else 10)
        ]
        row(
            name, f"{model.overlap_:g}", len(X_test), f"{per_row:.2f}", f"{error:.5f}",
            f"{bounded:.3f}", f"{dense:.3f}", f"{single:.3f}", 100_000 * len(random),
            f"{np.mean([k for k, _ in random]):.2f}", f"{max(e for _, e in random):.5f}",
        )  # fmt: skip


def truncation(model, X):
    """Experts per row for max_error=0.01, and the largest total variation to all experts."""
    error = np.abs(model.predict_proba(X) - model.predict_proba(X, max_error=0.01)).sum(axis=1)
    return model.route(X, max_error=0.01).experts_per_row.mean(), 0.5 * error.max()


def goal(label, measured, wanted, met):
    row("met" if met else "MISSED", measured, wanted, label)


GOALS = {
    "latency": latency,
    "pools": pools,
    "threads": threads,
    "overhead": overhead,
    "throughput": throughput,
    "max_error": max_error,
    "real_sets": real_sets,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few minutes: less of everything")
    parser.add_argument("--only", nargs="+", choices=[*GOALS, "grid"], help="parts; default all")
    parser.add_argument("--kinds", nargs="+", choices=EXPERTS, default=list(EXPERTS))
    parser.add_argument("--n-experts", nargs="+", type=int, default=None, help="of the grid")
    arguments = parser.parse_args()
    quick, parts = arguments.quick, arguments.only or [*GOALS, "grid"]
    with threadpool_limits(1):
        compile_kernels()
        for name, measure in GOALS.items():
            if name in parts:
                measure(quick)
        if "grid" in parts:
            sizes = arguments.n_experts or ((4, 16) if quick else (4, 16, 64))
            grid(arguments.kinds, sizes, (1, 100, 10_000 if quick else 100_000), 3)


if __name__ == "__main__":
    main()
