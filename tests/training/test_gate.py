"""Gate trainers: what is made once, what never changes, and gates behind transformers."""

import pickle

import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags

from skmoe import GaussianGate, SoftmaxGate
from skmoe._data.folds import Folds
from skmoe._training.gate import RefittingTrainer, SolvingTrainer, as_gate, gate_trainer
from skmoe.gates import ClassifierGate
from skmoe.gates._solver.packed import PackedDesign
from skmoe.gates._solver.penalty import PROVISIONAL


class Counting(TransformerMixin, BaseEstimator):
    """Centres, and counts the fits of all its clones."""

    fits: list = []

    def fit(self, X, y=None):
        self.fits.append(len(X))
        self.mean_ = X.mean(axis=0)
        return self

    def transform(self, X):
        return X - self.mean_


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    X = rng.normal(3.0, 2.0, (120, 3))
    fold = np.arange(120) % 3
    splits = [(np.flatnonzero(fold != f), np.flatnonzero(fold == f)) for f in range(3)]
    R = rng.dirichlet(np.ones(2), (3, 120))
    return X, R, np.ones(120), Folds.of(splits, 120)


def test_a_finished_iterate_does_not_change_when_the_next_is_made(problem):
    X, R, weight, folds = problem
    trainer = gate_trainer(SoftmaxGate(), X, folds, 1e-9)
    first = trainer.fit_held_out(R, weight)
    before = pickle.dumps(first.fitted), np.asarray(first.log_proba)
    second = trainer.fit_held_out(R[::-1], weight, first)
    trainer.maximize_likelihood(np.log(R[0]), weight, first, 1e-9)
    trainer.refit(first, R[0], weight)
    assert pickle.dumps(first.fitted) == before[0]
    np.testing.assert_array_equal(first.log_proba, before[1])
    again = trainer.fit_held_out(R[::-1], weight, first)
    np.testing.assert_array_equal(again.log_proba, second.log_proba)


def test_a_design_serves_all_numbers_of_experts_and_penalties(problem, monkeypatch):
    X, R, weight, folds = problem
    made, init = [], PackedDesign.__init__
    monkeypatch.setattr(
        PackedDesign, "__init__", lambda self, *args: made.append(1) or init(self, *args)
    )
    trainer = gate_trainer(SoftmaxGate("auto"), X, folds)
    assert trainer.chooses_penalty and trainer.penalty == PROVISIONAL
    for n_experts in (2, 3, 4):
        targets = np.full((3, 120, n_experts), 1.0 / n_experts)
        trainer.with_penalty(1e-2).fit_held_out(targets, weight)
    assert len(made) == 1
    quadratic = trainer.with_terms("products")
    quadratic.fit_held_out(R, weight)
    trainer.with_terms("products").fit_held_out(R, weight)
    assert len(made) == 2


@pytest.mark.parametrize(
    ("gate", "kind"), [(SoftmaxGate(tol=1e-9), SolvingTrainer), (GaussianGate(), RefittingTrainer)]
)
@pytest.mark.parametrize("nested", [False, True])
def test_transformers_are_fitted_once_per_fold(problem, gate, kind, nested):
    X, R, weight, folds = problem
    last = make_pipeline(StandardScaler(), gate) if nested else gate
    template = make_pipeline(Counting(), last)
    trainer = gate_trainer(template, X, folds)
    assert isinstance(trainer, kind)
    Counting.fits.clear()
    held_out = None
    for _ in range(3):
        held_out = trainer.fit_held_out(R, weight, held_out)
    assert Counting.fits == [80, 80, 80]
    final = trainer.refit(held_out, R[0], weight)
    assert Counting.fits == [80, 80, 80, 120] and isinstance(final, Pipeline)
    expected = clone(template).fit(X, R[0])
    np.testing.assert_allclose(final.predict_proba(X), expected.predict_proba(X), atol=1e-6)


def test_transformers_that_learn_from_labels_stay_with_the_gate(problem):
    X, R, weight, folds = problem
    gate = as_gate(make_pipeline(SelectKBest(k=1), LogisticRegression()))
    assert isinstance(gate, ClassifierGate)
    assert np.isfinite(gate_trainer(gate, X, folds).fit_held_out(R, weight).log_proba).all()
    gate = as_gate(make_pipeline(StandardScaler(), LogisticRegression()))
    assert isinstance(gate[-1], ClassifierGate)


def test_only_linear_terms_claim_to_take_sparse_features():
    assert get_tags(SoftmaxGate()).input_tags.sparse
    assert not get_tags(SoftmaxGate(terms="splines")).input_tags.sparse


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("gate", [SoftmaxGate(), SoftmaxGate(balance=0.1)])
def test_nothing_to_learn_is_no_failure_to_converge(gate):
    """Targets are constant, so that the gradient at zero is rounding."""
    rng = np.random.default_rng(0)
    X, weight = rng.normal(size=(5000, 5)), rng.uniform(size=5000)
    clone(gate).fit(X, np.full((5000, 3), 1 / 3), weight)
