"""The accuracy benchmark runs over folders that nobody has seen, and its figures are right."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression

pd = pytest.importorskip("pandas")
pytest.importorskip("matplotlib")

ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture(autouse=True)
def benchmarks_on_path(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def write_folder(folder, frames, kinds):
    entries = [{"name": name, "task": kinds[name]} for name in frames]
    (folder / "datasets.json").write_text(json.dumps(entries))
    for name, frame in frames.items():
        frame.to_csv(folder / f"{name}.csv.gz", index=False)
    return folder


@pytest.fixture
def awkward(tmp_path):
    """Strings, gaps, infinities, constant and empty columns, rare classes, odd and tiny sets."""
    rng = np.random.default_rng(0)
    n = 200
    x = rng.normal(size=n)
    columns = {
        "number": x,
        "gaps": np.where(rng.random(n) < 0.3, np.nan, x**2),
        "endless": np.where(np.arange(n) == 7, np.inf, rng.normal(size=n)),
        "constant": 3.0,
        "empty": np.nan,
        "flag": x > 1,
        "text": np.where(rng.random(n) < 0.2, None, rng.choice(["a", "b", "1"], n)),
        "many": [f"level {i // 2}" for i in range(n)],
    }
    label = np.where(x > 0, "yes", "no").astype(object)
    label[:3], label[3:5] = "rare", None
    gappy = x + rng.normal(scale=0.1, size=n)
    gappy[:5] = np.nan
    frames = {
        "numbers": pd.DataFrame(columns | {"target": gappy}),
        "words": pd.DataFrame(columns | {"target": label}),
        "truth": pd.DataFrame(columns | {"target": x > 0}),
        "codes": pd.DataFrame(columns | {"target": np.digitize(x, [-0.5, 0.5]) * 1.5}),
        "flat": pd.DataFrame(columns | {"target": 1.0}),
        "tiny": pd.DataFrame(columns | {"target": x}).head(20),
        "nameless": pd.DataFrame(columns),
    }
    kinds = dict.fromkeys(frames, "regression")
    kinds |= {"words": "binary", "truth": "classification", "codes": "multiclass"}
    return write_folder(tmp_path, frames, kinds)


def test_a_seed_draws_the_same_rows_everywhere():
    from _data import draw

    # NumPy keeps the streams of RandomState for ever; these rows are those of every version
    train, test = draw(np.zeros(10), "regression", 5000, seed=0)
    assert_array_equal(train, [2, 8, 4, 9, 1, 6, 7])
    assert_array_equal(test, [3, 0, 5])


@pytest.mark.parametrize("most", [50, 5000])
def test_classes_are_drawn_evenly(most):
    from _data import draw

    y = np.repeat([0, 1, 2], [700, 250, 50])
    train, test = draw(y, "classification", most, seed=3)
    assert len(train) == min(most, 700) and len(test) == 1000 - len(train)
    assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(1000))
    share = np.bincount(y[train]) / len(train)
    assert_allclose(share, [0.7, 0.25, 0.05], atol=1.01 / len(train))
    other, _ = draw(y, "classification", most, seed=4)
    assert set(other) != set(train)


@pytest.mark.parametrize("name", ["numbers", "words", "truth", "codes"])
def test_awkward_tables_are_encoded(awkward, name):
    from _data import load_split, tasks

    task = tasks(awkward)[name]
    X, X_test, y, y_test = load_split(awkward, name, task, 5000, seed=0)
    assert np.isfinite(X).all() and np.isfinite(X_test).all()
    assert X.shape[1] == X_test.shape[1] > 8
    if task == "regression":
        assert_allclose([y.mean(), y.std()], [0, 1], atol=1e-12)
        assert len(y) + len(y_test) == 195
    else:
        n_classes = {"words": 2, "truth": 2, "codes": 3}[name]
        assert_array_equal(np.unique(y), np.arange(n_classes))
        assert set(y_test) <= set(y)
        assert len(y) + len(y_test) == (195 if name == "words" else 200)


def test_the_encoding_looks_at_training_rows_only(awkward):
    from _data import draw, load_split

    X, _, y, _ = load_split(awkward, "truth", "classification", 5000, seed=0)
    frame = pd.read_csv(awkward / "truth.csv.gz")
    _, test = draw(frame["target"].to_numpy().astype(int), "classification", 5000, seed=0)
    frame.loc[test, "number"] = 1e6
    frame.loc[test, "text"] = "new"
    frame.to_csv(awkward / "truth.csv.gz", index=False)
    other, X_test, y_other, _ = load_split(awkward, "truth", "classification", 5000, seed=0)
    assert_allclose(other, X, rtol=1e-12)  # the file was read and written once more
    assert_array_equal(y_other, y)
    assert X_test[:, 0].min() > 1e5


@pytest.mark.parametrize(
    ("name", "reason"),
    [("flat", "constant"), ("tiny", "14 training"), ("nameless", "no column is named target")],
)
def test_unusable_tables_say_why(awkward, name, reason):
    from _data import Unusable, load_split

    with pytest.raises(Unusable, match=reason):
        load_split(awkward, name, "regression", 5000, seed=0)


def run(script, *arguments):
    search_path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / script), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": search_path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_quick_run_reports_and_resumes(awkward, tmp_path):
    output = tmp_path / "output"
    chosen = ["--data", awkward, "--output", output, "--quick", "--sets"]
    chosen += ["numbers", "words", "flat", "--family", "linear copies", "--methods"]
    printed = run("accuracy.py", *chosen, "skmoe", "one linear", "cgmm", "linear-tree")
    assert "flat: left out, the target is constant" in printed
    assert "linear copies: skmoe against each other method" in printed
    assert "skmoe against" in printed.split("Goals")[1]
    first = pd.read_csv(output / "results.csv")
    fitted = first[first["method"].isin(["skmoe", "one linear"])]
    assert len(fitted) == 4 and fitted["note"].isna().all()
    assert (fitted["rows"] == 1000).all()
    numbers = fitted["data"] == "numbers"
    assert fitted.loc[numbers, ["rmse", "mae", "seconds"]].notna().all(axis=None)
    assert fitted.loc[~numbers, ["log_loss", "error"]].notna().all(axis=None)
    density = fitted["negative_log_likelihood"].notna()
    assert_array_equal(density, numbers & (fitted["method"] == "skmoe"))
    for name in ("accuracy.png", "pairs.csv", "losses.csv"):
        assert (output / name).stat().st_size > 100

    # a method that was not there joins; the others are not fitted again
    printed = run("accuracy.py", *chosen, "skmoe", "one linear", "bagging")
    assert "bagging" in printed.split("each other method")[0]
    assert printed.count("left]") == 2
    second = pd.read_csv(output / "results.csv")
    pd.testing.assert_frame_equal(second.head(len(first)), first)


def test_failures_are_results_and_are_tried_again(awkward, tmp_path, monkeypatch):
    import accuracy

    monkeypatch.setitem(accuracy.FAMILIES["linear copies"], "one linear", lambda task, seed: None)
    job = (awkward, "linear copies", "one linear", "numbers", 0, 100, "regression")
    row = accuracy.compute(*job)
    assert row["note"].startswith("AttributeError") and "rmse" not in row
    path = tmp_path / "results.csv"
    rows = [row, row | {"seed": 1, "note": None}, row | {"method": "bagging"}]
    pd.DataFrame(rows, columns=accuracy.COLUMNS).to_csv(path, index=False)
    jobs = [job, (*job[:4], 1, *job[5:])]
    kept = accuracy.keep_results(path, jobs, replace=False)
    assert list(zip(kept["method"], kept["seed"], strict=True)) == [
        ("one linear", 1),
        ("bagging", 0),
    ]
    assert len(pd.read_csv(path)) == 2
    kept = accuracy.keep_results(path, jobs, replace=True)
    assert list(kept["method"]) == ["bagging"]


def results_of(losses, task="regression"):
    """Results of methods m and r of one family: losses[method][data] over splits."""
    rows = [
        {
            **{"family": "pool", "method": method, "data": data, "seed": seed, "task": task},
            **{"rmse": loss, "mae": loss, "log_loss": loss, "error": loss / 10, "seconds": 1.0},
            **{"n_train": 100, "n_test": 50, "note": None},
        }
        for method, sets in losses.items()
        for data, splits in sets.items()
        for seed, loss in enumerate(splits)
    ]
    return pd.DataFrame(rows)


def test_figures_of_a_pair():
    from _report import pairs, with_loss

    own = {"a": [1.0, 1.1, 0.9], "b": [2.0, 2.0, 2.0], "c": [1.0, 3.0, 2.0]}
    other = {"a": [2.0, 2.1, 1.91], "b": [1.0, 1.01, 1.0], "c": [2.0, 2.0, 2.0]}
    table = pairs(with_loss(results_of({"m": own, "r": other}))).set_index("method")
    row = table.loc["m"]
    expected = (1.0 / (6.01 / 3)) * (2.0 / (3.01 / 3)) * 1.0
    assert_allclose(row["ratio"], expected ** (1 / 3))
    assert_allclose(table.loc["r", "ratio"], expected ** (-1 / 3))
    assert (row["won"], row["tied"], row["lost"], row["smaller"]) == (1, 1, 1, 1)
    assert row["worst on"] == "b"
    assert_allclose(row["worst"], 6.0 / 3.01)


def test_verdicts_allow_for_the_rows_that_splits_share():
    from _report import _verdict

    # t = 2.5 standard errors of independent splits, and fewer of overlapping ones
    difference = np.array([-1.0, 0.0, 1.0, -1.0, 1.0, 0.0]) * 0.8 + 0.9
    n, deviation = len(difference), difference.std(ddof=1)
    assert 0.9 / (deviation / np.sqrt(n)) > 2.58  # the t-quantile
    part = pd.DataFrame({"loss": difference, "loss_rival": 0.0, "n_train": 70, "n_test": 30})
    assert _verdict(part) == 0
    assert _verdict(part.assign(n_test=0)) == 1


def test_rival_of_deslib_is_the_better_one_of_each_set():
    from _report import BEST_SELECTOR, goals, pairs, with_best, with_loss

    own = {"a": [1.0], "b": [1.0]}
    selectors = {
        "DESlib KNORA-E": {"a": [2.0], "b": [8.0]},
        "DESlib META-DES": {"a": [4.0], "b": [4.0]},
    }
    results = with_loss(results_of({"skmoe": own, **selectors}, "classification"))
    table = pairs(with_best(results, selectors, BEST_SELECTOR))
    row = table[(table["method"] == "skmoe") & (table["against"] == BEST_SELECTOR)].iloc[0]
    assert_allclose(row["ratio"], (1 / 2 * 1 / 4) ** 0.5)
    assert list(goals(table)[""]) == ["met"]
    worse = results.assign(second=np.where(results["method"] == "skmoe", 0.9, 0.1))
    assert list(goals(pairs(with_best(worse, selectors, BEST_SELECTOR)))[""]) == ["MISSED"]


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_greedy_selection_finds_the_experts_that_help(task):
    from _combiners import GreedySelectionClassifier, GreedySelectionRegressor

    rng = np.random.RandomState(0)
    X = rng.normal(size=(400, 2))
    score = X[:, 0] + X[:, 1]
    if task == "regression":
        kind, y = GreedySelectionRegressor, score
        experts = [DummyRegressor(), LinearRegression()]
    else:
        kind, y = GreedySelectionClassifier, np.where(score > 0, 7, 3)
        experts = [DummyClassifier(), LogisticRegression(C=100.0)]
    model = kind(list(zip("ab", experts, strict=True))).fit(X, y)
    assert_allclose(model.weights_, [0.0, 1.0])
    assert model.score(X, y) > 0.95


@pytest.mark.parametrize("name", ["regression linear", "classification radial overlap 0.2"])
def test_oracles_reach_the_noise(name):
    from _generators import load_problem, problem_tasks
    from accuracy import losses

    task = problem_tasks()[name]
    (X, X_test, y, y_test), methods = load_problem(name, 600, seed=0)
    found = {}
    for label in ("oracle", "knows the mixture"):
        model = methods[label](task, 0).fit(X, y)
        found[label] = losses(model, X_test, y_test, task)
    if task == "regression":  # the noise is 0.1, and 24 parameters were estimated from 600 rows
        assert_allclose(found["oracle"]["rmse"], 0.1, rtol=0.06)
        assert_allclose(found["knows the mixture"]["rmse"], 0.1, rtol=0.03)
    else:  # the regimes overlap: knowing them is worth more than knowing the distribution
        assert found["oracle"]["log_loss"] < found["knows the mixture"]["log_loss"]


def test_excess_is_a_fraction_of_stackings():
    from _report import excess, with_loss

    losses = {"oracle": 1.0, "stacking": 3.0, "skmoe": 1.5}
    table = excess(with_loss(results_of({m: {"a": [x]} for m, x in losses.items()})))
    assert_allclose(table["skmoe"], 0.25)
    assert_allclose(table["stacking's excess"].iloc[0], 2.0)


@pytest.mark.slow
def test_cost_is_measured(awkward):
    printed = run(
        "cost.py",
        "--only",
        "pools",
        "--data",
        awkward,
        "--sets",
        "numbers",
        "truth",
        "--repeats",
        1,
    )
    assert printed.count("truth ") == 2 and printed.count("goal at most") == 2


@pytest.mark.parametrize("experts", ["pool", "clones"])
def test_parts_of_a_mixture_make_up_its_prediction(experts):
    from parts import outputs_of_parts
    from sklearn.linear_model import LinearRegression
    from sklearn.tree import DecisionTreeRegressor

    from skmoe import MixtureOfExpertsRegressor

    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 3))
    y = X[:, 0] + rng.normal(size=150)
    tree = DecisionTreeRegressor(min_samples_leaf=10)
    members = [("tree", tree), ("line", LinearRegression())] if experts == "pool" else tree
    moe = MixtureOfExpertsRegressor(members, random_state=0).fit(X, y)
    parts, weight = outputs_of_parts(moe, X), moe.shared_weight_
    assert weight > 0 and ("blend" in parts) == (experts == "pool")
    assert_allclose((1 - weight) * parts["gate"] + weight * parts["shared"], moe.predict(X))


def test_figures_of_distributions_that_are_right():
    import distributions
    from _density_methods import LEVELS_OF_BOOSTING, Normal, _interpolated
    from scipy.stats import norm

    class Right(Normal):
        def moments(self, X):
            return X[:, 0], np.ones(len(X))

    class Quantiles:
        def quantiles(self, X, levels):
            known = X[:, :1] + norm.ppf(LEVELS_OF_BOOSTING)
            return _interpolated(known, LEVELS_OF_BOOSTING, levels)

    rng = np.random.default_rng(0)
    X = rng.normal(size=(4000, 1))
    y = X[:, 0] + rng.normal(size=4000)
    closed, counted = (distributions.figures(model, X, y) for model in (Right(), Quantiles()))
    assert_allclose(closed["nll"], 0.5 * np.log(2 * np.pi) + 0.5, atol=0.05)
    assert_allclose(closed["crps"], 1 / np.sqrt(np.pi), atol=0.03)
    for level in distributions.LEVELS:
        assert_allclose(closed[f"coverage_{100 * level:.0f}"], level, atol=0.03)
    assert closed["pit"] < 0.03
    for name in counted:  # the same by quantiles, of which 99 stand for all
        assert_allclose(counted[name], closed[name], rtol=0.02, atol=1e-3)


def test_simulated_workers():
    from scale import efficiencies, makespan

    assert makespan([3.0, 1.0, 1.0, 1.0], 2) == 3.0
    assert makespan([1.0, 1.0, 3.0], 2) == 4.0  # in their order, not the longest first
    assert makespan([1.0, 2.0], 8) == 2.0
    # One second of four is not for workers: two need 3 s, and three or more 2 s.
    assert_allclose(efficiencies(4.0, [[1.0, 1.0, 1.0]])[0], 4.0 / (2 * 3.0))
    assert_allclose(efficiencies(4.0, [[1.0, 1.0, 1.0]])[1:], [4.0 / (8 * 2.0), 4.0 / (16 * 2.0)])
