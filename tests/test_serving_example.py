"""The example of a service, asked by a real client over loopback."""

import contextlib
import http.client
import importlib.util
import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from small_mixtures import LABELS, X, Y, classifier, regressor

pd = pytest.importorskip("pandas", reason="pandas is not installed")
pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
uvicorn = pytest.importorskip("uvicorn", reason="the extra 'serve' is not installed")

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "serve_fastapi.py"
NAMES = ["age", "size", "town"]


def example():
    spec = importlib.util.spec_from_file_location("serve_fastapi", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def served(model):
    """A client's function ``ask(body)`` that returns status and answer."""
    config = uvicorn.Config(
        example().application(model), host="127.0.0.1", port=0, log_level="error"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started:
        assert thread.is_alive() and time.monotonic() < deadline
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(body, path="/predict", method="POST"):
        body = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection.request(method, path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, json.loads(response.read())

    ask.port = port
    try:
        yield ask
    finally:
        connection.close()
        server.should_exit = True
        thread.join(timeout=60)


@pytest.fixture(scope="module")
def numbers():
    model = regressor([("a", Ridge()), ("b", Ridge(10.0)), ("c", Ridge(0.1))], top_k=2)
    with served(model.fit(X, Y)) as ask:
        yield model, ask


def test_numbers_are_predicted(numbers):
    model, ask = numbers
    status, said = ask({"rows": X[:4].tolist()})
    assert status == 200
    found = [each["prediction"] for each in said["answers"]]
    np.testing.assert_allclose(found, model.predict(X[:4]))
    for each in said["answers"]:
        assert len(each["experts"]) == 2 and set(each["experts"]) <= {"a", "b", "c"}
        assert sum(each["experts"].values()) == pytest.approx(1.0)
        assert "why" not in each


def test_the_gate_explains_itself(numbers):
    model, ask = numbers
    status, said = ask({"rows": X[:3].tolist(), "explain": True})
    assert status == 200
    for each, top in zip(said["answers"], model.apply(X[:3]), strict=True):
        assert each["why"]["expert"] == list(model.named_experts_)[top]
        assert len(each["why"]["contribution"]) == X.shape[1]


def test_health_says_what_is_served(numbers):
    status, said = numbers[1](None, "/health", "GET")
    assert status == 200
    assert said["model"] == "MixtureOfExpertsRegressor" and said["experts"] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[1, 2]",
        b'{"rows": NaN}',
        b'{"rows": [[NaN, 1e999, 0]]}',
        b'{"rows": [[1' + b"0" * 400 + b", 0, 0]]}",
        b'{"rows": [["a", 1, 2]]}',
        {"rows": []},
        {"rows": [[1, 2]]},
        {"rows": [[1, 2, 3], [1, 2]]},
        {"rows": [[1, 2, [3]]]},
        {"rows": [[1, 2, None]]},
        {"rows": [{"x": 1}]},
        {"rows": [[1, 2, 3]], "explain": "perhaps"},
        {"rows": [[1, 2, 3]], "top_k": 1},
        {"rows": [[0, 0, 0]] * 10_001},
        {},
    ],
    ids=str,
)
def test_wrong_input_is_refused(numbers, body):
    status, said = numbers[1](body)
    assert status == 422
    assert said["detail"] and "Traceback" not in json.dumps(said)


def test_classes_and_names():
    rows = pd.DataFrame(X, columns=NAMES)
    model = classifier(n_experts=3).fit(rows, LABELS)
    with served(model) as ask:
        status, said = ask({"rows": [dict(zip(NAMES, row, strict=True)) for row in X.tolist()]})
        assert status == 200
        assert [each["prediction"] for each in said["answers"]] == model.predict(rows).tolist()
        proba = [list(each["probabilities"].values()) for each in said["answers"]]
        np.testing.assert_allclose(proba, model.predict_proba(rows))
        assert list(said["answers"][0]["probabilities"]) == ["even", "none", "odd"]
        assert ask({"rows": X[:1].tolist()})[0] == 200
        assert ask({"rows": [{"age": 1, "size": 2}]})[0] == 422
        assert ask({"rows": [[1, 2, 3], {"age": 1, "size": 2, "town": 3}]})[0] == 422


def test_several_clients_at_once(numbers):
    model, _ = numbers
    with served(model) as ask:
        failures = []

        def client(seed):
            own = http.client.HTTPConnection("127.0.0.1", ask.port, timeout=60)
            rows = np.random.RandomState(seed).normal(size=(20, X.shape[1]))
            for row in rows:
                body = json.dumps({"rows": [row.tolist()]})
                own.request("POST", "/predict", body, {"Content-Type": "application/json"})
                said = json.loads(own.getresponse().read())
                expected = model.predict(row[np.newaxis])[0]
                if abs(said["answers"][0]["prediction"] - expected) > 1e-9:
                    failures.append(row)
            own.close()

        threads = [threading.Thread(target=client, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=120)
        assert not failures and not any(thread.is_alive() for thread in threads)
