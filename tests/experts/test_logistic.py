"""Logistic regressions of all experts and folds at once, against scikit-learn one by one."""

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold

from skmoe import MixtureOfExpertsClassifier
from skmoe._data.folds import Folds
from skmoe._experts import logistic
from skmoe._experts.logistic import (
    held_out_probabilities,
    improved,
    log_probabilities,
    supports,
)
from skmoe._likelihoods import Categorical, Gaussian


def problem(n_classes, n=300):
    rng = np.random.default_rng(n_classes)
    X = rng.normal(size=(n, 3))
    logits = X @ rng.normal(size=(3, n_classes)) + rng.normal(size=n_classes)
    codes = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    return X, codes, rng.dirichlet(np.ones(2), size=n)


ALL = np.zeros(300)
"""No row is too slight for the Hessian."""


def value_of(coef, X, codes, weights, penalty):
    """Penalised log-likelihoods as scikit-learn's documentation has them."""
    log_proba = log_probabilities(coef, X)[np.arange(len(X)), codes]
    slopes = coef[:-1]
    if coef.shape[1] == 2:
        squares = np.square(slopes[:, 1] - slopes[:, 0]).sum(axis=0)
    else:
        squares = np.square(slopes).sum(axis=(0, 1))
    return (weights * log_proba).sum(axis=0) - penalty / 2 * squares


@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize("C", [0.1, 1.0, 10.0])
def test_ends_where_scikit_learn_does(n_classes, C):
    X, codes, weights = problem(n_classes)
    with_ones = np.column_stack([X, np.ones(len(X))])
    start = np.zeros((4, n_classes, 2))
    coef = improved(start, with_ones, codes, weights, np.full(2, 1 / C), 1500, ALL)
    proba = np.exp(log_probabilities(coef, with_ones))
    for k in range(2):
        alone = LogisticRegression(C=C, tol=1e-10, max_iter=10_000)
        alone.fit(X, codes, weights[:, k])
        np.testing.assert_allclose(proba[..., k], alone.predict_proba(X), atol=1e-5)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_every_step_gains(n_classes):
    X, codes, weights = problem(n_classes)
    X = np.column_stack([100 * X, np.ones(len(X))])  # where a whole step of Newton goes too far
    coef, values = np.full((4, n_classes, 2), 0.0), []
    coef[0, 0] = 0.3
    for _ in range(12):
        values.append(value_of(coef, X, codes, weights, 1.0))
        coef = improved(coef, X, codes, weights, np.ones(2), 4, ALL)
    gains = np.diff(values, axis=0)
    assert (gains > -1e-9).all() and (np.sum(gains, axis=0) > 1).all()


def test_rows_are_taken_some_at_a_time(monkeypatch):
    X, codes, weights = problem(3)
    X = np.column_stack([X, np.ones(len(X))])
    arguments = np.zeros((4, 3, 2)), X, codes, weights, np.ones(2), 3, np.full(len(X), 0.3)
    expected = improved(*arguments)
    monkeypatch.setattr(logistic, "NUMBERS_AT_A_TIME", 6 * 70)
    np.testing.assert_allclose(improved(*arguments), expected, rtol=1e-9)


def test_slight_rows_are_missed_by_steps_and_not_by_where_they_lead():
    X, codes, weights = problem(3)
    X = np.column_stack([X, np.ones(len(X))])
    weights[::2] *= 1e-4
    start, few = np.zeros((4, 3, 2)), np.full(len(X), 1e-3)
    one, other = (improved(start, X, codes, weights, np.ones(2), 1, few_) for few_ in (few, ALL))
    assert 0 < np.abs(one - other).max() < 1e-2
    ends = [improved(start, X, codes, weights, np.ones(2), 500, few_) for few_ in (few, ALL)]
    np.testing.assert_allclose(*(log_probabilities(end, X) for end in ends), atol=1e-6)


def test_a_heavy_row_leaves_the_hessian_to_the_others(monkeypatch):
    """What counts is who is responsible, not how the user weighs a row."""
    X, codes, _ = problem(2)
    weight = np.ones(len(X))
    weight[0] = 5000.0
    folds = Folds.of(list(KFold(3).split(X)), len(X))
    own = SimpleNamespace(
        X=X, target=codes, folds=folds, likelihood=Categorical(np.array([0, 1]), True),
        sample_weight=weight,
    )  # fmt: skip
    arguments = [0], [LogisticRegression()], own, np.stack([weight[:, np.newaxis]] * 3)
    some = held_out_probabilities(*arguments)[0][0]
    monkeypatch.setattr(logistic, "SLIGHT", 0.0)
    np.testing.assert_array_equal(some, held_out_probabilities(*arguments)[0][0])


def test_no_row_has_a_say_in_what_is_said_of_it():
    X, codes, weights = problem(2)
    folds = Folds.of(list(KFold(3).split(X)), len(X))
    templates = [LogisticRegression()] * 2

    def said(codes):
        own = SimpleNamespace(
            X=X, target=codes, folds=folds, likelihood=Categorical(np.array([0, 1]), True),
            sample_weight=np.ones(len(X)),
        )  # fmt: skip
        return held_out_probabilities([0, 1], templates, own, np.stack([weights] * 3))[0]

    test = folds.splits[1][1]
    changed = codes.copy()
    changed[test] = 1 - changed[test]
    before, after = said(codes), said(changed)
    for k in range(2):
        np.testing.assert_array_equal(before[k][test], after[k][test])
        assert np.abs(before[k] - after[k]).max() > 0.01


def test_what_is_supported():
    X, likelihood = np.zeros((10, 3)), Categorical(np.arange(2), True)
    assert supports(LogisticRegression(C=3), X, likelihood)
    for template in (
        LogisticRegression(fit_intercept=False),
        LogisticRegression(class_weight="balanced"),
        LogisticRegression(solver="saga"),
        LogisticRegression(l1_ratio=0.5, solver="saga"),
        LogisticRegression(C=1e9),
    ):
        assert not supports(template, X, likelihood)
    assert not supports(LogisticRegression(), X.tolist(), likelihood)
    assert not supports(LogisticRegression(), np.zeros((10, 1000)), likelihood)
    assert not supports(LogisticRegression(), X, Gaussian(np.ones(1)))


def test_experts_are_judged_by_finished_fits(monkeypatch):
    """Whatever the steps of EM have reached, the last iteration is scikit-learn's."""
    X, codes, _ = problem(2)
    fits = []
    fit = LogisticRegression.fit
    monkeypatch.setattr(
        LogisticRegression,
        "fit",
        lambda self, *args, **kw: fits.append(1) or fit(self, *args, **kw),
    )
    model = MixtureOfExpertsClassifier(
        LogisticRegression(), n_experts=2, cv=3, random_state=0, shared_expert=None
    ).fit(X, codes)
    assert len(model.history_["log_likelihood"]) > 3
    assert len(fits) == 2 * 3 + 2  # each fold once, and all rows
