"""Load on the example of a service: latency, rows a second, errors, memory.

Run ``python benchmarks/http_load.py [--clients N ...] [--requests N ...]`` where the extra
``serve`` is installed. It starts ``examples/serve_fastapi.py`` with a pool of five here, asks it
over loopback with so many clients at once, one row a request, then sends requests that are wrong,
and stops it. Clients and service share the processors.
"""

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR
from threadpoolctl import threadpool_limits

import skmoe
from skmoe import MixtureOfExpertsRegressor
from skmoe.datasets import make_piecewise_regression

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "serve_fastapi.py"
WARM_UP = 50
WRONG = {
    "no JSON": b"{",
    "no rows": b'{"rows": []}',
    "a string": b'{"rows": [["a", 1, 2]]}',
    "too few features": b'{"rows": [[1, 2]]}',
    "ragged rows": b'{"rows": [[1, 2, 3], [1, 2]]}',
    "not a number": b'{"rows": [[NaN, 1e999, 0]]}',
    "an unknown field": b'{"rows": [[1, 2, 3]], "top_k": 1}',
}
"""Requests that are to be refused, and what is wrong with them."""


def pool():
    """A fitted pool of five, and rows to ask about."""
    X, y = make_piecewise_regression(2500, 10, n_regimes=3, return_X_y=True, random_state=0)
    experts = [
        ("forest", RandomForestRegressor(50, random_state=0)),
        ("boosting", HistGradientBoostingRegressor(max_iter=50)),
        ("ridge", make_pipeline(StandardScaler(), Ridge())),
        ("neighbours", make_pipeline(StandardScaler(), KNeighborsRegressor())),
        ("svm", make_pipeline(StandardScaler(), SVR())),
    ]
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        return MixtureOfExpertsRegressor(experts, cv=3, random_state=0).fit(X[:2000], y[:2000]), X


class Service:
    """The example in a process of its own."""

    def __init__(self, bundle, port):
        self.port = port
        self.process = subprocess.Popen([sys.executable, EXAMPLE, bundle, "--port", str(port)])

    def __enter__(self):
        deadline = time.monotonic() + 120
        while True:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                connection.request("GET", "/health")
                connection.getresponse().read()
                return self
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=30)

    def megabytes(self):
        """Resident memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def processor_seconds(self):
        """What the service has taken of the processors so far, in all its threads."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ask(port, bodies, seconds, errors):
    """One client: a request after the other, on one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for body in bodies:
        started = time.perf_counter()
        try:
            connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            said = response.read()
            if response.status != 200 or b"prediction" not in said:
                errors.append(said)
        except (OSError, http.client.HTTPException) as error:
            errors.append(error)
            connection.close()
        seconds.append(time.perf_counter() - started)
    connection.close()


def load(port, rows, n_clients, n_requests):
    """Seconds of each request, all seconds, and errors."""
    seconds, errors, threads = [], [], []
    each = n_requests // n_clients
    for client in range(n_clients):
        own = np.random.default_rng(client).integers(len(rows), size=each)
        bodies = [json.dumps({"rows": [rows[i].tolist()]}) for i in own]
        threads.append(threading.Thread(target=ask, args=(port, bodies, seconds, errors)))
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return np.array(seconds), time.perf_counter() - started, errors


def refusals(port, n_requests):
    """How many wrong requests of each kind got status 422 and no traceback."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    refused = dict.fromkeys(WRONG, 0)
    for what, body in WRONG.items():
        for _ in range(n_requests):
            connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            said = response.read()
            refused[what] += response.status == 422 and b"Traceback" not in said
    connection.close()
    return refused


def report(service, rows, n_clients, n_requests):
    """One line of the table."""
    before, spent = service.megabytes(), service.processor_seconds()
    seconds, whole, errors = load(service.port, rows, n_clients, n_requests)
    spent = service.processor_seconds() - spent
    middle, late = np.quantile(seconds, [0.5, 0.99]) * 1e3
    print(
        f"| {n_clients} | {len(seconds)} | {middle:.1f} | {late:.1f} | {late / middle:.2f} "
        f"| {len(seconds) / whole:.0f} | {1e3 * spent / len(seconds):.1f} | {len(errors)} "
        f"| {before:.0f} | {service.megabytes():.0f} |",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 8, 32])
    parser.add_argument(
        "--requests",
        nargs="+",
        type=int,
        default=[2000],
        help="for each number of clients, or one number for all",
    )
    parser.add_argument("--port", type=int, default=8765)
    arguments = parser.parse_args()
    counts = arguments.requests * (1 if len(arguments.requests) > 1 else len(arguments.clients))
    model, rows = pool()
    print(
        "\n| clients | requests | p50 ms | p99 ms | p99 / p50 | rows / s | processor ms a request "
        "| errors | MB before | MB after |"
    )
    print("|" + 10 * "---|")
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder, "pool.skmoe")
        skmoe.dump(model, bundle, golden_rows=rows[:5])
        with Service(bundle, arguments.port) as service:
            load(service.port, rows, 1, WARM_UP)
            for n_clients, n_requests in zip(arguments.clients, counts, strict=True):
                report(service, rows, n_clients, n_requests)
            refused = refusals(service.port, n_wrong := max(1, min(counts) // 100))
            print(f"\nRefused with status 422, of {n_wrong} each: {refused}")


if __name__ == "__main__":
    main()
