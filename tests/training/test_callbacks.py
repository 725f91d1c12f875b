"""The course of a fit as tasks of scikit-learn's callbacks."""

import pickle
from collections import Counter

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.tree import DecisionTreeRegressor

import skmoe
from skmoe import MixtureOfExpertsRegressor
from skmoe.datasets import make_piecewise_regression

callback = pytest.importorskip("sklearn.callback", reason="callbacks are new in scikit-learn 1.9")

X, Y = make_piecewise_regression(200, n_features=2, n_regimes=2, return_X_y=True, random_state=0)


class Listener:
    """Remembers all tasks: ("begin" or "end", path of names), and what of them can predict."""

    max_propagation_depth = None

    def __init__(self):
        self.told, self.scores = [], {}

    def setup(self, estimator, context):
        self.told.append("setup")

    def teardown(self, estimator, context):
        self.told.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.told.append(("begin", path_of(context)))

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
        self.told.append(("end", path_of(context)))
        if fitted_estimator is not None:
            score = fitted_estimator.score(X, y)
            self.scores.setdefault(path_of(context), []).append(score)


def path_of(context):
    names = []
    while context is not None:
        names.insert(0, context.task_name)
        context = context.parent
    return "/".join(names)


def mixture(expert=None, **settings):
    settings = {"n_experts": 2, "init": "kmeans", "overlap": 0.0, "cv": 2} | settings
    expert = DecisionTreeRegressor(max_depth=2) if expert is None else expert
    return MixtureOfExpertsRegressor(expert, random_state=0, **settings)


@pytest.mark.filterwarnings("ignore:EM stopped")
def test_stages_iterations_and_fits_of_experts_are_tasks():
    heard = Listener()
    moe = mixture(max_iter=2, tol=0.0).set_callbacks(heard).fit(X, Y)
    begun = Counter(task[1] for task in heard.told if task[0] == "begin")
    assert begun == Counter(task[1] for task in heard.told if task[0] == "end")
    assert begun.pop("fit") == 1
    assert begun.pop("fit/EM to the end/iteration") == moe.n_iter_ == 2
    # Two experts in two folds in each iteration; at the end both of them and the generalist.
    assert begun.pop("fit/EM to the end/iteration/expert fit") == 8
    assert begun.pop("fit/gate and shared expert/expert fit") == 2  # of the generalist
    assert begun.pop("fit/experts on all rows/expert fit") == 3
    stages = ["EM to the end", "gate and shared expert", "experts on all rows"]
    assert begun == {f"fit/{stage}": 1 for stage in stages}
    assert heard.told[0] == "setup" and heard.told[-1] == "teardown"


@pytest.mark.filterwarnings("ignore:EM stopped")
def test_an_iteration_can_be_scored_as_if_the_fit_had_ended_with_it():
    heard = Listener()
    settings = {"e_step": "insample", "tol": 0.0, "shared_expert": None}
    moe = mixture(Ridge(), max_iter=3, **settings).set_callbacks(heard).fit(X, Y)
    scores = heard.scores["fit/EM to the end/iteration"]
    for n_iter, score in enumerate(scores, 1):
        shorter = mixture(Ridge(), max_iter=n_iter, **settings).fit(X, Y)
        assert score == pytest.approx(shorter.score(X, Y), abs=1e-10)
    assert heard.scores["fit"] == [moe.score(X, Y)]


def test_callbacks_change_nothing():
    heard = Listener()
    listened_to = mixture(max_iter=20).set_callbacks(heard).fit(X, Y)
    np.testing.assert_array_equal(
        listened_to.predict(X), mixture(max_iter=20).fit(X, Y).predict(X)
    )
    assert not any(name.startswith("_callback") for name in vars(listened_to))


def test_a_search_hands_its_callbacks_on():
    heard = Listener()
    grid = {"experts__max_depth": [1, 2]}
    GridSearchCV(mixture(), grid, cv=2).set_callbacks(heard).fit(X, Y)
    begun = Counter(task[1].split("/")[-1] for task in heard.told if task[0] == "begin")
    assert begun["EM to the end"] == begun["experts on all rows"] == 5
    assert begun["iteration"] >= 5 and begun["expert fit"] >= 5 * 6
    assert heard.told.count("setup") == 1


def test_scoring_monitor_logs_each_iteration():
    monitor = callback.ScoringMonitor(scoring="r2")
    moe = mixture(max_iter=20).set_callbacks(monitor).fit(X, Y)
    log = [row for row in monitor.get_logs().data if row["task_name"] == "iteration"]
    assert len(log) == moe.n_iter_ and all(row["r2"] > 0 for row in log)


def test_a_progress_bar_follows_the_fit():
    pytest.importorskip("rich")
    moe = mixture(max_iter=20).set_callbacks(callback.ProgressBar())
    assert moe.fit(X, Y).n_iter_ > 0


def test_a_failed_fit_ends_its_callbacks():
    heard = Listener()
    with pytest.raises(ValueError, match="n_experts"):
        mixture(n_experts=201).set_callbacks(heard).fit(X, Y)
    with pytest.raises(RuntimeError, match="expert_0"):
        mixture(Broken()).set_callbacks(heard).fit(X, Y)
    assert heard.told.count("setup") == heard.told.count("teardown") == 1


class Broken(Ridge):
    def fit(self, X, y, sample_weight=None):
        raise RuntimeError("it is broken")


def test_a_bundle_leaves_callbacks_behind(tmp_path):
    moe = mixture(max_iter=20).set_callbacks(Listener()).fit(X, Y)
    skmoe.dump(moe, tmp_path / "model.skmoe", golden_rows=X[:3])
    assert not hasattr(skmoe.load(tmp_path / "model.skmoe"), "_skl_callbacks")
    assert hasattr(pickle.loads(pickle.dumps(moe)), "_skl_callbacks")  # so workers have them
