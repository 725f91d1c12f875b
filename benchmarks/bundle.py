"""What a bundle costs beside the file of joblib or skops: seconds to write and read, and bytes.

    python benchmarks/bundle.py [--repeats 7] [--rows 3000] [--folder /dev/shm] [--no-skops]

Each figure is the median over the repeats, each ratio the median of the ratios of single repeats
(smallest and largest in brackets), in which all ways to save the same model take turns. The goals:
dump and load in at most 1.2 times the time of joblib plus the time to hash the file; a size within
1 % of joblib's plus the manifest; lazily loading the one expert out of 16 that a row is routed to
in at most 1/8 of the time of loading all. A bundle is on the disk when `dump` returns, a joblib
file is in the memory of the system: the line "+ fsync" gives joblib the same duty, and a folder in
memory takes the disk out of the comparison. What no bundle with golden rows can be quicker than is
"floor": joblib, the hash and one prediction of the golden rows.
"""

import argparse
import gc
import hashlib
import os
import statistics
import tempfile
import time
import warnings
import zipfile
from pathlib import Path

import joblib
import numpy as np
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge

import skmoe
from skmoe.datasets import make_piecewise_regression

try:
    import skops.io as skops
except ImportError:
    skops = None


def seconds(function):
    """Time of one call."""
    gc.collect()
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def mixture(expert, n_experts, rows, **parameters):
    """Quickly trained: what is measured is the size and kind of the experts."""
    X, y = make_piecewise_regression(n_samples=rows, return_X_y=True, random_state=0)
    model = skmoe.MixtureOfExpertsRegressor(
        expert, n_experts=n_experts, max_iter=1, e_step="insample", random_state=0, **parameters
    )
    return model.fit(X, y), X


def joblib_and_fsync(model, path):
    """Save as joblib does, and wait until it is on the disk."""
    with open(path, "wb") as file:
        joblib.dump(model, file)
        file.flush()
        os.fsync(file.fileno())


def unknown_types(path):
    return skops.get_untrusted_types(file=path)


def table(label, model, X, folder, repeats, with_skops):
    """Print what each way to save a model costs."""
    pickled, other, bundle = (folder / f"model.{kind}" for kind in ("joblib", "skops", "skmoe"))
    skmoe.dump(model, bundle, golden_rows=X)
    content = bundle.read_bytes()
    ways = {
        "dump: joblib": lambda: joblib.dump(model, pickled),
        "dump: joblib + fsync": lambda: joblib_and_fsync(model, pickled),
        "dump: bundle": lambda: skmoe.dump(model, bundle, golden_rows=X),
        "dump: bundle, no golden rows": lambda: skmoe.dump(model, bundle, golden_rows=False),
        "load: joblib": lambda: joblib.load(pickled),
        "load: bundle, no golden rows": lambda: skmoe.load(bundle),
        "load: bundle": lambda: skmoe.load(bundle),
        "hash": lambda: hashlib.sha256(content).digest(),
        "predict the golden rows": lambda: model.predict(X[:5]),
    }
    if with_skops:
        ways["dump: skops"] = lambda: skops.dump(model, other)
        ways["load: skops"] = lambda: skops.load(other, trusted=unknown_types(other))
    runs = []
    for _ in range(repeats):
        run = {}
        for way, function in ways.items():
            if way == "load: bundle":
                skmoe.dump(model, bundle, golden_rows=X)
            run[way] = seconds(function)
        runs.append(run)
    print(f"\n{label}: {len(content) / 1e6:.3f} MB")
    for way in ways:
        line = f"  {way:<30} {statistics.median(run[way] for run in runs):9.4f} s"
        action = way.partition(":")[0]
        if action in ("dump", "load"):
            line += f"   {ratio(runs, way, f'{action}: joblib')} of joblib"
        print(line)
    for action in ("dump", "load"):
        for rival in ("joblib", "joblib + fsync")[: 2 if action == "dump" else 1]:
            budget = [1.2 * run[f"{action}: {rival}"] + run["hash"] for run in runs]
            used = statistics.median(
                run[f"{action}: bundle"] / b for run, b in zip(runs, budget, strict=True)
            )
            verdict = "met" if used <= 1 else "MISSED"
            print(f"  goal {action}: {used:.2f} of 1.2 x ({rival}) + hash: {verdict}")
        floor = statistics.median(
            run[f"{action}: bundle"]
            / (run[f"{action}: {rival}"] + run["hash"] + run["predict the golden rows"])
            for run in runs
        )
        print(f"       {action}: {floor:.2f} of the floor ({rival})")
    joblib.dump(model, pickled)
    with zipfile.ZipFile(bundle) as archive:
        manifest = archive.getinfo("manifest.json").file_size
    size = (len(content) - manifest) / pickled.stat().st_size
    verdict = "met" if size <= 1.01 else "MISSED"
    print(f"  goal size: {size:.4f} of joblib's without the manifest ({manifest} B): {verdict}")
    if with_skops:
        print(f"  size of skops: {other.stat().st_size / pickled.stat().st_size:.2f} of joblib's")


def ratio(runs, way, reference):
    """Median, smallest and largest ratio of two times of the same run."""
    ratios = [run[way] / run[reference] for run in runs]
    return f"{statistics.median(ratios):6.2f} [{min(ratios):.2f}, {max(ratios):.2f}]"


def lazy(model, X, folder, repeats):
    """Print what loading one routed expert out of 16 costs."""
    path = folder / "lazy.skmoe"
    skmoe.dump(model, path, golden_rows=X)
    row = X[:1]
    model.predict(row)
    runs = []
    for _ in range(repeats):
        whole = seconds(lambda: skmoe.load(path).predict(row))
        one = seconds(lambda: skmoe.load(path, lazy=True).predict(row))
        runs.append({"all": whole, "one": one})
    print(f"\n16 forests of 100 trees, top_k=1: {path.stat().st_size / 1e6:.1f} MB")
    for way in ("all", "one"):
        print(f"  load {way} and predict a row {statistics.median(r[way] for r in runs):9.4f} s")
    share = statistics.median(run["one"] / run["all"] for run in runs)
    verdict = "met" if share <= 1 / 8 else "MISSED"
    print(f"  goal lazy: {ratio(runs, 'one', 'all')} of the full load (at most 0.125): {verdict}")


def private_memory(path, mmap_mode):
    """Bytes that a process has of its own after loading, in a child: forests and neighbours."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        before = own_bytes()
        model = skmoe.load(path, mmap_mode=mmap_mode)
        os.write(writer, str(own_bytes() - before + 0 * len(model.experts_)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    with open(reader) as file:
        return int(file.read())


def own_bytes():
    """Private memory of this process, on Linux."""
    gc.collect()
    with open("/proc/self/smaps_rollup") as file:
        lines = [line.split() for line in file if line.startswith("Private_")]
    return 1024 * sum(int(line[1]) for line in lines)


def shared(label, model, X, folder):
    """Print how much memory of their own the workers need that map one bundle."""
    path = folder / "shared.skmoe"
    skmoe.dump(model, path, golden_rows=False)
    size = path.stat().st_size
    figures = [private_memory(path, mode) / size for mode in (None, "r")]
    print(f"  {label:<24} {size / 1e6:6.1f} MB   {figures[0]:8.2f}   {figures[1]:8.2f}")


def main():
    """Run everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument(
        "--folder", help="where to write; default: the system's for temporary files"
    )
    parser.add_argument("--no-skops", action="store_true", help="it takes most of the time")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    forest = RandomForestRegressor(100, n_jobs=-1)
    with_skops = skops is not None and not arguments.no_skops
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        linear, X = mixture(Ridge(), 8, 2000)
        table("linear, 8 experts", linear, X, folder, 5 * arguments.repeats, with_skops)
        forests, X = mixture(forest, 8, arguments.rows)
        forests.set_params(experts__n_jobs=None)
        for expert in forests.experts_:
            expert.n_jobs = None
        label = "forests of 100 trees, 8 experts"
        table(label, forests, X, folder, arguments.repeats, with_skops)
        many, X = mixture(forest, 16, arguments.rows, top_k=1)
        for expert in many.experts_:
            expert.n_jobs = None
        lazy(many, X, folder, arguments.repeats)
        if os.path.exists("/proc/self/smaps_rollup"):
            from sklearn.ensemble import HistGradientBoostingRegressor
            from sklearn.neighbors import KNeighborsRegressor

            print("\nprivate memory of a worker / size of the bundle: read, mapped")
            shared("forests", forests, X, folder)
            wide = np.random.RandomState(0).normal(size=(20000, 50))
            for label, expert in [
                ("neighbours (brute force)", KNeighborsRegressor(algorithm="brute")),
                ("histogram boosting", HistGradientBoostingRegressor(max_iter=300)),
            ]:
                model = skmoe.MixtureOfExpertsRegressor(
                    expert, n_experts=2, max_iter=1, e_step="insample", overlap=1.0, random_state=0
                )
                shared(label, model.fit(wide, wide[:, 0]), wide, folder)


if __name__ == "__main__":
    main()
