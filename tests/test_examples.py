"""The examples run as a user would run them, and say what they promise."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import openml_copies
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


def check_domains(said):
    loss, lift = said["loss"], said["moe"].lift_
    assert loss["mixture of experts"] < 0.5 * loss["stacking"]
    assert loss["mixture of experts"] < 1.1 * loss["told the office"]
    assert lift.over_constant > 3 * lift.over_constant_se


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


def check_mixed_columns(said):
    score = {
        model: said[model].score(said["X_test"], said["y_test"]) for model in ("one", "search")
    }
    assert score["search"] > score["one"]
    assert (said["by_town"].max(axis=1) > 0.5).all()


def check_neural(said):
    loss = said["loss"]
    assert loss["mixture"] < 1.05 * min(loss.values()) and loss["network"] < 0.5


def check_new_expert(said):
    """Weeks of the new office are told apart, and the new expert helps."""
    rarest = np.array(said["rarest"])
    assert rarest[:6].min() > -3 > rarest[6:].max()
    assert np.mean(said["novel"][6:]) > 3 * np.mean(said["novel"][:6])
    assert np.mean(said["later"]) < 0.7 * np.mean(said["loss"][-2:])
    report = said["larger"].surgery_
    assert report.titles()[:2] == ["new rows", "old rows"]


def check_novelty(said):
    assert said["share"] == pytest.approx(0.01, abs=0.005) and said["strange"] == 3
    assert said["moe"].gate_proba(said["strangers"]).max(axis=1).min() > 0.99


def check_piecewise(said):
    assert said["agreement"] > 0.95


def check_pool_of_experts(said):
    assert said["same"]
    assert min(said["loss"], key=said["loss"].get) == "mixture"


def check_reliability(said):
    assert said["log_loss"]["crossfit"] < said["log_loss"]["insample"] - 0.1


def check_routing_heatmap(said):
    sharp, overlapping = said["loss_of_top_1"]
    assert sharp < overlapping / 5


def check_shared_expert(said):
    regimes, unsure, none = said["chosen"]
    assert regimes < 0.25 < 0.5 < unsure < none
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


def check_titanic(said):
    loss = said["loss"]
    assert min(loss, key=loss.get) == "mixture of the raw table"
    assert said["report"]["ratio"].idxmax() == "categorical"


def check_two_targets(said):
    losses = said["losses"]
    assert (losses["the number's gate"] < 0.97 * losses["a gate of its own"]).all()
    assert (losses["a gate of its own"] < losses["one model"]).all()
    shared, number = said["sharing"], said["of_number"]
    np.testing.assert_allclose(shared.gate_proba(said["X"]), number.gate_proba(said["X"]))


def check_utilization(said):
    new, training = said["moe"].utilization(said["X_new"]).mass, said["moe"].utilization_.mass
    assert training.min() > 0.2 and np.sum(new < 0.15) == 1


CHECKS = {
    name.removeprefix("check_"): check
    for name, check in globals().items()
    if name.startswith("check_")
}
GALLERY = {path.stem.removeprefix("plot_"): path for path in sorted(EXAMPLES.glob("*/plot_*.py"))}


def test_each_script_has_its_test():
    assert sorted(GALLERY) == sorted(CHECKS)
    others = {path.name for path in EXAMPLES.rglob("[!_]*.py")} - {
        p.name for p in GALLERY.values()
    }
    # Those that need more than a gallery has: data, a server (tests/test_serving_example.py), dask
    assert others == {"bike_rentals.py", "cluster_dask.py", "demo.py", "serve_fastapi.py"}


@pytest.mark.parametrize("name", GALLERY)
def test_example_has_text_between_its_code(name):
    """It says at its beginning what it is about, and goes on in cells."""
    text = GALLERY[name].read_text(encoding="utf-8")
    assert re.match(r'"""\n.+\n=+\n\n\S', text)
    assert "\n# %%\n# " in text


@pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", GALLERY)
def test_example_of_the_gallery(name, tmp_path, monkeypatch):
    """It draws, and what its text says of the result is so."""
    pytest.importorskip("matplotlib").use("Agg")
    pytest.importorskip("pandas")
    from matplotlib import pyplot as plt

    if name == "titanic":
        if not openml_copies.are_there():
            pytest.skip("this scikit-learn came without its tests, which have the data")
        monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
        openml_copies.put_into(tmp_path)
    monkeypatch.delenv("DISPLAY", raising=False)  # where plt.show would complain of "Agg"
    plt.close("all")  # what other tests have left open
    try:
        said = runpy.run_path(str(GALLERY[name]), run_name="__main__")
        assert plt.get_fignums()
        for number in plt.get_fignums():
            plt.figure(number).canvas.draw()
    finally:
        plt.close("all")
    CHECKS[name](said)


@pytest.mark.slow
def test_bike_rentals_have_three_regimes(data_dir, monkeypatch):
    pytest.importorskip("pandas")
    plt = pytest.importorskip("matplotlib.pyplot")
    raw = str(data_dir / "bike_sharing_hourly.csv.gz")
    monkeypatch.setattr(sys, "argv", ["bike_rentals.py", raw])
    try:
        said = runpy.run_path(str(EXAMPLES / "bike_rentals.py"), run_name="__main__")
    finally:
        plt.close("all")
    moe, line, new = said["moe"], said["line"], (said["X_new"], said["y_new"])
    assert moe.score(*new) > line.score(*new) + 0.25
    quiet, busy = (
        said["display"].share[:, k] for k in map(said["names"].index, ("quiet", "busy"))
    )
    assert quiet[3] > 0.9  # at three in the morning
    assert min(busy[8], busy[17]) > 0.5


@pytest.mark.slow
@pytest.mark.slow
def test_cluster_dask(tmp_path):
    pytest.importorskip("distributed")
    said = run("cluster_dask.py", tmp_path)
    assert "4 blocks predicted where they are\nas if they were here: True" in said


def test_demo(tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("pandas")
    printed = run("demo.py", tmp_path)
    loss = {
        line.split()[0]: float(line.split()[-1])
        for line in printed.splitlines()
        if line.startswith(("   one logistic", "   a random", "   mixture of four"))
    }
    assert loss["mixture"] < 0.7 * min(loss["one"], loss["a"])
    assert "the gate pays" in printed and "no regimes" in printed
    assert 85 <= int(re.search(r"(\d+)% are within theirs", printed)[1]) <= 95
    assert "golden rows are the same" in printed
    assert len(printed.splitlines()) <= 45 and max(map(len, printed.splitlines())) <= 88
    picture = tmp_path / "build" / "demo" / "regimes.png"
    assert 10_000 < picture.stat().st_size < 150_000
