"""Least squares for all experts at once, against scikit-learn one by one."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Lasso, LinearRegression, Ridge

from skmoe import MixtureOfExpertsRegressor
from skmoe._experts.least_squares import FROM_CHOLESKY, fit_all, supports


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X = rng.normal([0, 1e3, -5, 0], [1, 10, 0.1, 100], (500, 4))
    weights = rng.uniform(size=(500, 3)) ** 4
    weights[:100, 1] = 0
    y = X @ [1, 0.1, 10, 0.01] + rng.normal(size=500)
    return X, y, weights


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("kind", [LinearRegression, Ridge])
def test_same_as_one_by_one(data, kind, intercept):
    X, y, weights = data
    templates = [kind(fit_intercept=intercept) for _ in range(3)]
    if kind is Ridge:
        templates[1].set_params(alpha=7.0)
    assert all(supports(template, X, y) for template in templates)
    coef, offset = fit_all(templates, X, y, weights)
    for k, template in enumerate(templates):
        template.fit(X, y, weights[:, k])
        scale = X.std(axis=0)
        np.testing.assert_allclose(coef[k] * scale, template.coef_ * scale, rtol=1e-7, atol=1e-9)
        prediction = X @ coef[k] + offset[k]
        np.testing.assert_allclose(prediction, template.predict(X), rtol=1e-8, atol=1e-8)


def test_ill_conditioned_systems_are_refused(data):
    X, y, weights = data
    collinear = np.column_stack([X, X[:, 0] + 1e-7 * X[:, 3]])
    coef, _ = fit_all([LinearRegression(), Ridge(1e3)], collinear, y, weights[:, :2])
    assert np.isnan(coef[0]).all() and np.isfinite(coef[1]).all()
    short = X * [1, 1, 1e-7, 1]  # scikit-learn takes such a column for zero
    assert np.isnan(fit_all([LinearRegression()], short, y, weights[:, :1])[0]).all()
    constant = np.column_stack([X, np.ones(len(X))])
    assert np.isnan(fit_all([LinearRegression()], constant, y, weights[:, :1])[0]).all()


@pytest.mark.parametrize("intercept", [True, False])
def test_many_columns(intercept):
    """From a Cholesky factor, unless equations may be ill-conditioned."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, FROM_CHOLESKY + 5))
    y, weights = X[:, 0] + rng.normal(size=200), rng.uniform(size=(200, 3)) ** 30
    template = Ridge(fit_intercept=intercept)
    coef, offset = fit_all([template] * 3, X, y, weights)
    for k in range(3):
        template.fit(X, y, weights[:, k])
        np.testing.assert_allclose(coef[k], template.coef_, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(offset[k], template.intercept_, rtol=1e-7, atol=1e-9)
    plain = LinearRegression(fit_intercept=intercept)
    for distance, sound in ((1e-2, True), (1e-7, False)):
        X[:, 1] = X[:, 0] + distance * rng.normal(size=200)
        found = fit_all([plain], X, y, np.ones((200, 1)))[0][0]
        assert np.isfinite(found).all() == sound
        if sound:  # of a condition between the two that is known to be allowed
            np.testing.assert_allclose(found, plain.fit(X, y).coef_, rtol=1e-5, atol=1e-7)


def test_single_precision_is_fitted_in_double(data, monkeypatch):
    X, y, weights = data
    single = X.astype(np.float32)
    assert supports(Ridge(), single, y)
    expected = fit_all([Ridge()] * 3, single.astype(np.float64), y, weights)
    monkeypatch.setattr("skmoe._arithmetic.ROWS_AT_A_TIME", 120)
    for found, exact in zip(fit_all([Ridge()] * 3, single, y, weights), expected, strict=True):
        np.testing.assert_allclose(found, exact, rtol=1e-9)


def test_what_is_not_supported(data):
    X, y, _ = data

    class OwnRidge(Ridge):
        pass

    for template in (Lasso(), OwnRidge(), Ridge(positive=True), Ridge(solver="lsqr"),
                     Ridge(alpha=np.ones(1)), LinearRegression(positive=True)):  # fmt: skip
        assert not supports(template, X, y)
    for other in (X.astype(int), pd.DataFrame(X), X[:3]):
        assert not supports(Ridge(), other, y[: len(other)])
    assert not supports(Ridge(), X, np.column_stack([y, y]))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("e_step", ["insample", "crossfit"])
def test_a_mixture_is_the_same_either_way(data, e_step, monkeypatch):
    X, y, _ = data
    collinear = np.column_stack([X, X[:, 0]])  # LinearRegression falls back, Ridge does not
    experts = [("ridge", Ridge()), ("plain", LinearRegression()), ("other", Ridge(2.0))]
    model = MixtureOfExpertsRegressor(experts, e_step=e_step, random_state=0, max_iter=5, tol=0)
    fast = model.fit(collinear, y)
    trace, prediction = fast.history_["log_likelihood"], fast.predict(collinear)
    monkeypatch.setattr("skmoe._experts.pool.supports", lambda *_: False)
    model.fit(collinear, y)
    np.testing.assert_allclose(trace, model.history_["log_likelihood"], rtol=1e-6)
    np.testing.assert_allclose(prediction, model.predict(collinear), rtol=1e-5, atol=1e-5)
