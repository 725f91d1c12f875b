"""What to_onnx refuses, and what a graph that has changed is found by."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer, StandardScaler
from small_mixtures import LABELS, X, Y, classifier, regressor

import skmoe
from skmoe.gates import BaseGate
from skmoe.onnx import ConversionError, ReplayError, to_onnx, verify

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def needs_onnx():
    pytest.importorskip("onnxruntime", reason="the extra 'onnx' is not installed")
    pytest.importorskip("skl2onnx", reason="the extra 'onnx' is not installed")


def test_importing_skmoe_loads_none_of_it():
    code = "import sys, skmoe; print([n for n in sys.modules if 'onnx' in n])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr


def test_skmoe_has_no_other_late_name():
    assert skmoe.to_onnx is to_onnx
    with pytest.raises(AttributeError, match="to_tensorflow"):
        skmoe.to_tensorflow  # noqa: B018


@pytest.mark.parametrize("library", ["onnxruntime", "skl2onnx"])
def test_a_missing_library_names_the_extra(monkeypatch, library):
    if library == "skl2onnx":
        pytest.importorskip("onnxruntime", reason="the extra 'onnx' is not installed")
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError, match=rf"needs {library}: pip install 'skmoe\[onnx\]'"):
        to_onnx(regressor().fit(X, Y))


class OwnGate(BaseGate):
    """A gate that nobody knows."""

    def fit(self, X, R, sample_weight=None):
        self.n_experts_ = np.shape(R)[1]
        return self

    def predict_log_proba(self, X):
        return np.full((len(X), self.n_experts_), -np.log(self.n_experts_))


def test_all_parts_that_cannot_be_converted_are_named():
    needs_onnx()
    experts = [
        ("target", TransformedTargetRegressor(Ridge(), func=np.sinh, inverse_func=np.arcsinh)),
        ("good", Ridge()),
        ("spline", make_pipeline(SplineTransformer(), LinearRegression())),
    ]
    model = regressor(experts, gate=OwnGate()).fit(X, Y)
    with pytest.raises(ConversionError) as raised:
        to_onnx(model, X)
    message = str(raised.value)
    assert "expert 'target' (TransformedTargetRegressor): skl2onnx" in message
    assert "expert 'spline' (Pipeline): skl2onnx" in message
    assert "the gate (OwnGate): there is no converter" in message
    assert "SoftmaxGate" in message
    assert "good" not in message


def test_a_wrong_graph_is_refused_and_its_part_named(monkeypatch):
    needs_onnx()
    from skmoe.onnx import _estimators

    def wrong(graph, estimator, X):
        return graph.add("Add", right(graph, estimator, X), graph.constant(1e-3))

    right = _estimators.by_skl2onnx
    model = regressor([("a", Ridge()), ("b", LinearRegression())]).fit(X, Y)
    monkeypatch.setitem(
        _estimators.OWN,
        LinearRegression,
        lambda graph, estimator, X: wrong(
            graph, estimator, _estimators.Features(X, estimator.n_features_in_)
        ),
    )
    with pytest.raises(ReplayError, match="By themselves differ: expert 'b'$"):
        to_onnx(model, X)
    assert verify(to_onnx(model, X, tolerance=0.1)) > 1e-5


def test_a_graph_that_has_changed_is_found():
    needs_onnx()
    from onnx import numpy_helper

    graph = to_onnx(regressor().fit(X, Y), X)
    for tensor in graph.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float64 and values.size > 1:
            tensor.CopyFrom(numpy_helper.from_array(values * 1.001, tensor.name))
    with pytest.raises(ReplayError, match="once said"):
        verify(graph)


def test_a_foreign_graph_has_no_golden_rows():
    needs_onnx()
    import skl2onnx

    graph = skl2onnx.to_onnx(Ridge().fit(X, Y), X[:1])
    with pytest.raises(ValueError, match="no golden rows"):
        verify(graph)


def test_rows_that_onnx_does_not_have():
    needs_onnx()
    from scipy.sparse import csr_matrix

    model = classifier().fit(X, LABELS)
    with pytest.raises(ConversionError, match="sparse"):
        to_onnx(model, csr_matrix(X))
    with pytest.raises(ConversionError, match="object"):
        to_onnx(model, X.astype(object))


def test_other_models_are_sent_elsewhere():
    needs_onnx()
    with pytest.raises(TypeError, match="skl2onnx.to_onnx"):
        to_onnx(Ridge().fit(X, Y), X)
    with pytest.raises(NotFittedError):
        to_onnx(regressor(), X)


def test_a_pipeline_needs_a_sample():
    needs_onnx()
    model = make_pipeline(StandardScaler(), regressor()).fit(X, Y)
    with pytest.raises(ValueError, match="X_sample"):
        to_onnx(model)
    assert verify(to_onnx(model, X)) <= 1e-6


def test_unknown_outputs_are_refused():
    needs_onnx()
    model = regressor().fit(X, Y)
    with pytest.raises(ValueError, match="quantiles.*give quantiles="):
        to_onnx(model, X, extra_outputs=("quantiles",))
    for levels in (0.0, (0.5, 1.0), np.nan):
        with pytest.raises(ValueError, match="between 0 and 1"):
            to_onnx(model, X, quantiles=levels)
    with pytest.raises(ValueError, match="a classifier"):
        to_onnx(classifier().fit(X, LABELS), X, quantiles=0.5)


def test_a_density_that_is_not_that_of_the_experts_is_refused():
    needs_onnx()
    model = regressor(density="auto").fit(X, Y)
    assert [output.name for output in to_onnx(model, X).graph.output] == ["variable"]
    for asked in (dict(quantiles=0.5), dict(extra_outputs=("standard_deviation",))):
        with pytest.raises(ConversionError, match="density='mixture'"):
            to_onnx(model, X, **asked)
