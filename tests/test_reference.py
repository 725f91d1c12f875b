"""Agreement with R on the same model, data and starting responsibilities.

The reference is described in the README beside its files. R's model has neither penalties nor
floors: hence linear experts without penalty, a gate with ``alpha=0``, the in-sample E-step (which
keeps a classifier's floor at its minimum of 1e-6) and ``overlap=0``.

Known differences, all of them far below the tolerances:

- the floor of 1e-6 changes the classifiers' log-likelihood: at the maximum by less than 1e-6
  relative, on the way there by up to 1.4e-6 (``synth``, whose experts are nearly certain), so that
  the traces are compared with the floor lowered;
- rows with less than 1e-8 of an expert's largest weight are left out of its fit.
"""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor, SoftmaxGate
from skmoe._likelihoods import classes

REGRESSION = ["co2_w", "no_ethanol", "npreg_reg", "patent_gate", "sim_reg_n1000", "tonedata"]
CLASSIFICATION = ["sim_clf_n20000", "synth"]


class Case:
    """One reference case: data, start and expected results."""

    def __init__(self, directory, name):
        self.info = json.loads((directory / f"{name}.json").read_text())
        data = pd.read_csv(directory / name / "data.csv")
        columns = dict.fromkeys(self.info["expert_features"] + self.info["gate_features"])
        self.X = data[list(columns)]
        self.y = data[self.info["target"]].to_numpy()
        weight = self.info["weight_column"]
        self.weight = None if weight is None else data[weight].to_numpy(dtype=float)
        self.start = pd.read_csv(directory / name / "start.csv").to_numpy()
        self.expected = pd.read_csv(directory / name / "expected.csv")
        self.total_weight = self.info["sum_of_weights"]

    def mixture(self, max_iter, tol=0.0):
        """The package's form of the same model."""
        if self.info["task"] == "regression":
            kind, expert = MixtureOfExpertsRegressor, LinearRegression()
        else:
            kind, expert = MixtureOfExpertsClassifier, unpenalised_classifier()
        return kind(
            make_pipeline(
                FunctionTransformer(select, kw_args={"columns": self.info["expert_features"]}),
                expert,
            ),
            n_experts=self.start.shape[1],
            gate=SoftmaxGate(alpha=0, tol=1e-10, max_iter=1000),
            gate_features=self.info["gate_features"],
            overlap=0.0,
            e_step="insample",
            init=self.start,
            max_iter=max_iter,
            tol=tol,
        )


def unpenalised_classifier():
    return LogisticRegression(C=np.inf, tol=1e-9, max_iter=10_000, solver="newton-cholesky")


def select(X, columns):
    return X[columns]


@pytest.fixture
def case(request, reference_dir):
    return Case(reference_dir, request.param)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("case", REGRESSION + CLASSIFICATION, indirect=True)
def test_log_likelihood_after_each_iteration(case, monkeypatch):
    monkeypatch.setattr(classes, "MIN_FLOOR", 1e-12)
    trace = case.info["em_exact_m_steps"]["loglik_trace"][:25]
    model = case.mixture(max_iter=len(trace)).fit(case.X, case.y, sample_weight=case.weight)
    ours = model.history_["log_likelihood"] * case.total_weight
    np.testing.assert_allclose(ours, trace, rtol=1e-7)


@pytest.fixture(scope="module", params=[*REGRESSION, "synth"])
def converged(request, reference_dir):
    """A case and the model at the maximum of its likelihood."""
    case = Case(reference_dir, request.param)
    return case, case.mixture(3000, tol=1e-11).fit(case.X, case.y, sample_weight=case.weight)


def test_maximum_likelihood(converged):
    case, model = converged
    ours = model.log_likelihood_ * case.total_weight
    np.testing.assert_allclose(ours, case.info["maximum_likelihood"]["loglik"], rtol=1e-6)
    total = np.average(model.log_density(case.X, case.y), weights=case.weight)
    np.testing.assert_allclose(total, model.log_likelihood_, rtol=1e-9)


def test_rows_at_the_maximum(converged):
    case, model = converged
    expected, X = case.expected, case.X.iloc[case.expected["row"]]
    K = model.n_experts_
    gate = expected[[f"gate{k + 1}" for k in range(K)]]
    np.testing.assert_allclose(model.gate_proba(X), gate, atol=1e-3)
    resp = expected[[f"resp{k + 1}" for k in range(K)]]
    y = case.y[expected["row"]]
    np.testing.assert_allclose(model.responsibilities(X, y), resp, atol=1e-3)
    if "mean" in expected:
        np.testing.assert_allclose(model.predict(X), expected["mean"], rtol=1e-3, atol=1e-3)
    else:
        proba = expected[["proba_0", "proba_1"]]
        np.testing.assert_allclose(model.predict_proba(X), proba, atol=1e-3)


def test_parameters_at_the_maximum(converged):
    case, model = converged
    if case.info["task"] != "regression":
        pytest.skip("coefficients of nearly separable classes are flat: see the rows instead")
    reference = case.info["maximum_likelihood"]
    for expert, expected, scale in zip(
        model.experts_, reference["experts"], model.scale_, strict=True
    ):
        coef = [expert[-1].intercept_, *expert[-1].coef_]
        np.testing.assert_allclose(coef, list(expected["coef"].values()), rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(scale, expected["sigma"], rtol=1e-3)
    gate = np.column_stack([model.gate_.intercept_, model.gate_.coef_])
    theirs = np.array([list(part.values()) for part in reference["gate"].values()])
    np.testing.assert_allclose(gate - gate[0], theirs, rtol=2e-3, atol=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["sim_clf_n20000"], indirect=True)
def test_maximum_likelihood_of_many_rows(case):
    model = case.mixture(3000, tol=1e-8).fit(case.X, case.y)
    ours = model.log_likelihood_ * case.total_weight
    np.testing.assert_allclose(ours, case.info["maximum_likelihood"]["loglik"], rtol=1e-6)
