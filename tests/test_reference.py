"""Agreement with R on the same model, data and starting responsibilities.

The reference is described in the README beside its files. R's model has neither penalties nor
floors: hence linear experts without penalty, a gate with ``alpha=0``, the in-sample E-step (which
keeps a classifier's floor at its minimum of 1e-6) and ``share=0``.

Known differences, all of them far below the tolerances:

- the floor of 1e-6 changes the classifiers' log-likelihood by less than 1e-6 relative;
- rows with less than 1e-8 of an expert's largest weight are left out of its fit.
"""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor, SoftmaxGate

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
            make_pipeline(OnlyColumns(self.info["expert_features"]), expert),
            n_experts=self.start.shape[1],
            gate=SoftmaxGate(alpha=0, tol=1e-10, max_iter=1000),
            gate_features=self.info["gate_features"],
            share=0.0,
            e_step="insample",
            init=self.start,
            max_iter=max_iter,
            tol=tol,
        )


def OnlyColumns(columns):
    return FunctionTransformer(lambda X: X[columns])


def unpenalised_classifier():
    return LogisticRegression(C=np.inf, tol=1e-9, max_iter=10_000, solver="newton-cholesky")


@pytest.fixture
def case(request, reference_dir):
    return Case(reference_dir, request.param)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("case", REGRESSION + CLASSIFICATION, indirect=True)
def test_log_likelihood_after_each_iteration(case):
    trace = case.info["em_exact_m_steps"]["loglik_trace"][:25]
    model = case.mixture(max_iter=len(trace)).fit(case.X, case.y, sample_weight=case.weight)
    ours = model.history_["log_likelihood"] * case.total_weight
    np.testing.assert_allclose(ours, trace[: len(ours)], rtol=1e-6)
    assert len(ours) == len(trace)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("case", REGRESSION + CLASSIFICATION, indirect=True)
def test_maximum(case):
    model = case.mixture(max_iter=3000, tol=1e-11).fit(case.X, case.y, sample_weight=case.weight)
    reference = case.info["maximum_likelihood"]
    print(model.n_iter_, model.log_likelihood_ * case.total_weight, reference["loglik"])
    np.testing.assert_allclose(
        model.log_likelihood_ * case.total_weight, reference["loglik"], rtol=1e-6
    )
