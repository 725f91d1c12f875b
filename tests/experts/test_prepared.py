"""What is prepared once for all fits of EM."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor

from skmoe import MixtureOfExpertsRegressor
from skmoe._experts.prepared import few_values, prepared_features

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X = np.random.RandomState(0).normal(size=(1000, 3))


def test_few_values_keep_order_and_are_values_of_the_column():
    values = few_values(X, 20)
    for own, made in zip(X.T, values.T, strict=True):
        assert len(np.unique(made)) == 20
        assert np.isin(made, own).all()
        assert (np.diff(made[np.argsort(own)]) >= 0).all()
        assert np.bincount(np.unique(made, return_inverse=True)[1]).min() >= 49


def test_few_values_leave_alone_what_is_few_or_missing():
    rows = np.c_[np.arange(1000) % 7, np.full(1000, np.nan), X[:, 0], np.zeros(1000)]
    rows[::3, 2] = np.nan
    rows[500:, 3] = np.arange(500)
    kept = rows.copy()
    values = few_values(rows, 16)
    assert_array_equal(rows, kept)
    assert_array_equal(values[:, :2], rows[:, :2])
    assert_array_equal(np.isnan(values), np.isnan(rows))
    assert len(np.unique(values[~np.isnan(values[:, 2]), 2])) == 16
    assert len(np.unique(values[:, 3])) <= 16
    assert set(values[:500, 3]) == {0.0}


def test_whom_features_are_prepared_for():
    boosting = HistGradientBoostingRegressor(max_bins=30)
    categories = HistGradientBoostingRegressor(categorical_features=[0])
    templates = (boosting, RandomForestRegressor(), boosting, categories)
    features = prepared_features(templates, X)
    assert features[0] is features[2]
    assert len(np.unique(features[0][:, 0])) == 30
    assert features[1] is X and features[3] is X
    assert prepared_features((boosting,), X.tolist())[0] == X.tolist()


@pytest.mark.parametrize("e_step", ["crossfit", "insample"])
def test_final_boosting_is_fitted_on_the_features_as_they_are(e_step, monkeypatch):
    seen = []
    fit = HistGradientBoostingRegressor.fit

    def recorded(self, X, y, sample_weight=None):
        seen.append(max(len(np.unique(column)) for column in X.T))
        return fit(self, X, y, sample_weight)

    monkeypatch.setattr(HistGradientBoostingRegressor, "fit", recorded)
    boosting = HistGradientBoostingRegressor(max_iter=3, max_bins=20)
    MixtureOfExpertsRegressor(
        boosting, n_experts=2, overlap=0.3, cv=2, max_iter=2, shared_expert=None, e_step=e_step
    ).fit(X, X[:, 0] * np.sign(X[:, 1]))
    assert min(seen[-2:]) > 200
    if e_step == "crossfit":
        assert max(seen[:-2]) <= 20
