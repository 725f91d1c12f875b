"""The default gate and the default expert have parameters, which a search may set."""

import numpy as np
import pytest
import small_mixtures as small
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor, SoftmaxGate

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def test_the_default_gate_is_what_none_means():
    model = small.regressor(overlap="auto", init="auto", gate=None)
    spelled = clone(model).set_params(gate__alpha="auto")
    assert repr(spelled.gate) == repr(SoftmaxGate(alpha="auto", terms="auto"))
    assert model.gate is None
    expected = model.fit(small.X, small.Y)
    found = spelled.fit(small.X, small.Y)
    np.testing.assert_array_equal(found.predict(small.X), expected.predict(small.X))
    assert found.gate_.terms == expected.gate_.terms != "auto"
    assert spelled.gate.terms == "auto"  # fit writes into no parameter


def test_parameters_of_the_default_experts():
    assert isinstance(MixtureOfExpertsRegressor().set_params(experts__alpha=3.0).experts, Ridge)
    model = MixtureOfExpertsClassifier().set_params(experts__C=0.1, n_experts=2)
    assert isinstance(model.experts, LogisticRegression) and model.experts.C == 0.1
    assert clone(model).get_params()["experts__C"] == 0.1
    assert model.gate is None


def test_none_given_beside_a_parameter_of_its():
    model = small.regressor(gate=LogisticRegression())
    model.set_params(gate=None, gate__alpha=0.3)
    assert isinstance(model.gate, SoftmaxGate) and model.gate.alpha == 0.3
    with pytest.raises(ValueError, match="Invalid parameter 'depth'"):
        small.regressor().set_params(gate__depth=3)


def test_in_a_grid():
    grid = {"gate__alpha": [0.1, 10.0], "experts__alpha": [0.1, 100.0]}
    search = GridSearchCV(small.regressor(), grid, cv=2).fit(small.X, small.Y)
    assert len(search.cv_results_["params"]) == 4
    assert set(search.best_params_) == set(grid)
    assert len(np.unique(search.cv_results_["mean_test_score"].round(12))) == 4
    inside = make_pipeline(StandardScaler(), small.regressor())
    grid = {f"mixtureofexpertsregressor__{name}": values for name, values in grid.items()}
    GridSearchCV(inside, grid, cv=2).fit(small.X, small.Y)
