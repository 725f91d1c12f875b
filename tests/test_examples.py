"""The examples run as a user would run them, and say what they promise."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"


def run(script, directory, **environment):
    """Run a script in an empty directory; returns what it printed."""
    search_path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-W", "error::FutureWarning", str(EXAMPLES / script)],
        cwd=directory,
        env={**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": search_path, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr, done.stderr
    return done.stdout


def check_drift(said):
    mass, density, weeks = np.abs(said["mass"]), np.abs(said["density"]), said["weeks"]
    assert (mass[weeks < 10] < 3.5).all() and (density[weeks < 20] < 3.5).all()
    assert (mass[weeks >= 10].mean(axis=0) > 2.5).all()
    assert (density[weeks >= 20] > 3).all()


def check_distributions(said):
    auto, mixture = (said["scores"][name] for name in ("auto", "mixture"))
    assert auto[0] < 0.96 * mixture[0]
    assert auto[1] < 0.95 * mixture[1]
    assert abs(auto[2] - 0.9) < 0.03 < abs(mixture[2] - 0.9)


def check_em_path(said):
    reported, delivered = said["moe"].log_likelihood_, said["delivered"]
    assert abs(reported - delivered["crossfit"]) < 0.2
    assert delivered["crossfit"] > delivered["insample"] + 0.5


def check_explain_routing(said):
    beyond = said["X"].iloc[[169]].copy()
    beyond[said["columns"]] += 1.01 * said["explanation"]["change"].iloc[169]
    names = list(said["moe"].named_experts_)
    assert names[said["moe"].apply(beyond)[0]] == said["border"]["expert"]
    assert sum(said["parts"].values()) == pytest.approx(2 * said["parts"]["sum"])


def check_gate_regions(said):
    assert said["moe"].lift_.over_constant > 2 * said["moe"].lift_.over_constant_se


def check_gates_compared(said):
    scores = said["scores"]
    assert max(scores, key=scores.get) == "SoftmaxGate('products')"
    assert min(scores, key=scores.get) == "SoftmaxGate, 2 experts"


def check_hierarchical(said):
    assert np.mean(said["moe"].apply(said["X"]) == said["regime"]) > 0.95


def check_novelty(said):
    assert said["share"] == pytest.approx(0.01, abs=0.005) and said["strange"] == 3
    assert said["moe"].gate_proba(said["strangers"]).max(axis=1).min() > 0.99


def check_piecewise(said):
    assert said["agreement"] > 0.95


def check_reliability(said):
    assert said["log_loss"]["crossfit"] < said["log_loss"]["insample"] - 0.1


def check_routing_heatmap(said):
    sharp, overlapping = said["loss_of_top_1"]
    assert sharp < 0.01 and overlapping > 0.05


def check_shared_expert(said):
    regimes, unsure, none = said["chosen"]
    assert regimes <= 0.1 < 0.5 < unsure < none
    for mixed, whole, alone in said["errors"]:  # near the better one wherever that is
        assert whole < 1.01 * min(mixed, alone)


def check_tables(said):
    """The columns are seen for what they are; dropout costs little and saves what it can."""
    assert list(said["kinds"].values()) == ["numeric", "code", "categorical", "datetime", "text"]
    plain, trained = (said["loss"][name] for name in said["models"])
    assert trained["none"] < 1.1 * plain["none"] and trained["text"] < 0.9 * plain["text"]
    assert plain.drop("none").min() > plain["none"]


def check_time_split(said):
    weight, rmse = said["weight"], said["rmse"]
    assert weight.is_monotonic_decreasing and weight[1] > 0.9 and weight[96] < 0.5
    assert rmse.loc["all", "mixture"] < 0.9 * rmse.loc["all", ["season", "latest"]].min()


def check_two_targets(said):
    losses = said["losses"]
    assert (losses["the number's gate"] < 0.97 * losses["a gate of its own"]).all()
    assert (losses["a gate of its own"] < losses["one model"]).all()
    shared, number = said["sharing"], said["of_number"]
    np.testing.assert_allclose(shared.gate_proba(said["X"]), number.gate_proba(said["X"]))


def check_utilization(said):
    new, training = said["moe"].utilization(said["X_new"]).mass, said["moe"].utilization_.mass
    assert training.min() > 0.2 and np.sum(new < 0.15) == 1


GALLERY = {
    name.removeprefix("check_"): check
    for name, check in sorted(globals().items())
    if name.startswith("check_")
}


def test_each_script_has_its_test():
    scripts = {path.name for path in EXAMPLES.glob("[!_]*.py")}
    assert scripts == {
        "cluster_dask.py",
        "demo.py",
        "mixed_columns.py",
        "pool_of_experts.py",
        "serve_fastapi.py",  # tests/test_serving_example.py
        *(f"plot_{name}.py" for name in GALLERY),
    }


@pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", GALLERY)
def test_example_of_the_gallery(name, monkeypatch):
    """It draws one figure, and what its text says of the result is so."""
    pytest.importorskip("matplotlib").use("Agg")
    pytest.importorskip("pandas")
    from matplotlib import pyplot as plt

    monkeypatch.delenv("DISPLAY", raising=False)  # where plt.show would complain of "Agg"
    plt.close("all")  # what other tests have left open
    try:
        said = runpy.run_path(str(EXAMPLES / f"plot_{name}.py"), run_name="__main__")
        (number,) = plt.get_fignums()
        plt.figure(number).canvas.draw()
    finally:
        plt.close("all")
    GALLERY[name](said)


def test_mixed_columns_beats_one_ridge(tmp_path):
    pytest.importorskip("pandas")
    printed = run("mixed_columns.py", tmp_path)
    line = next(line for line in printed.splitlines() if line.startswith("R2"))
    ridge, mixture = (float(part.split()[-1]) for part in line.split(","))
    assert mixture > ridge


def test_pool_of_experts_survives_saving(tmp_path):
    assert "the same predictions after loading: True" in run("pool_of_experts.py", tmp_path)


@pytest.mark.slow
@pytest.mark.slow
def test_cluster_dask(tmp_path):
    pytest.importorskip("distributed")
    said = run("cluster_dask.py", tmp_path)
    assert "4 blocks predicted where they are\nas if they were here: True" in said


def test_demo(tmp_path):
    pytest.importorskip("matplotlib")
    printed = run("demo.py", tmp_path)
    loss = {
        line.split()[0]: float(line.split()[-1])
        for line in printed.splitlines()
        if line.startswith(("   one logistic", "   a random", "   mixture of four"))
    }
    assert loss["mixture"] < 0.7 * min(loss["one"], loss["a"])
    assert "golden rows are the same" in printed
    assert len(printed.splitlines()) <= 40
    picture = tmp_path / "build" / "demo" / "regimes.png"
    assert 10_000 < picture.stat().st_size < 150_000
