"""Converting a fitted mixture, and holding the graph against it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from .. import io
from .._version import __version__
from ._density import density, quantiles_of, standard_deviation
from ._errors import ConversionError, ReplayError
from ._estimators import bare, transformed
from ._features import Features, as_inputs, declare_features, element_type
from ._graph import Graph
from ._libraries import import_library
from ._mixture import MixtureOutputs, class_labels, mixture_outputs, n_columns
from ._register import register_converters
from ._replay import MOST_ROWS, agree, answers, as_float64, describe, difference, within

EXTRA_OUTPUTS = ("gate_proba", "standard_deviation")
"""What a graph can say besides the prediction, and quantiles."""


class Extras(NamedTuple):
    """What a graph is to say besides the prediction."""

    names: tuple[str, ...]
    quantiles: tuple[float, ...]

    @classmethod
    def of(cls, mixture: Any, names: tuple[str, ...], quantiles: Any) -> Extras:
        """Check what is asked for."""
        unknown = [name for name in names if name not in EXTRA_OUTPUTS]
        if unknown:
            hint = "; for quantiles give quantiles=(0.05, 0.95)" if "quantiles" in unknown else ""
            raise ValueError(
                f"extra_outputs: there is no {unknown}; choose from {EXTRA_OUTPUTS}{hint}"
            )
        levels = tuple(float(level) for level in np.ravel(quantiles))
        if not all(0.0 < level < 1.0 for level in levels):
            raise ValueError(f"quantiles={quantiles!r}: each must lie between 0 and 1")
        extras = cls(tuple(names), levels)
        asked = f"quantiles={levels}" if levels else "extra_outputs='standard_deviation'"
        if extras.of_density and is_classifier(mixture):
            raise ValueError(f"{asked}: a classifier says how sure it is by its probabilities")
        if extras.of_density and getattr(mixture, "_density", None) is not None:
            raise ConversionError(
                f"{asked}: this mixture has learned a density around its prediction from held-out "
                "rows (density='auto'), which has no form in ONNX; fit it with density='mixture', "
                "whose density is that of the experts"
            )
        return extras

    @property
    def of_density(self) -> bool:
        """Whether the density is asked for."""
        return "standard_deviation" in self.names or bool(self.quantiles)

    def expected(self, mixture: Any, rows: Any) -> dict[str, np.ndarray]:
        """What the mixture says, by the names of the outputs."""
        said: dict[str, np.ndarray] = {}
        if "gate_proba" in self.names:
            said["gate_proba"] = mixture.gate_proba(rows)
        if "standard_deviation" in self.names:
            deviation = mixture.predict_distribution(rows).std()
            said["standard_deviation"] = deviation.reshape(len(deviation), -1)
        if self.quantiles:
            said["quantiles"] = mixture.predict_quantiles(rows, self.quantiles)
        return said


NO_EXTRAS = Extras((), ())


def to_onnx(
    model: Any,
    X_sample: Any = None,
    *,
    extra_outputs: tuple[str, ...] = (),
    quantiles: Any = (),
    tolerance: float = 1e-5,
) -> Any:
    """Convert a fitted mixture to an ONNX graph that says the same.

    Gate, experts and shared expert become one graph, which any runtime of ONNX evaluates without
    Python. Before it is returned, ONNX Runtime answers with it for the sample and is held against
    the mixture.

    Parameters
    ----------
    model : fitted mixture, or Pipeline that ends in one
    X_sample : array or frame of shape (n_samples, n_features), default=None
        Rows like those that are to be served, which decide on the inputs: an array is one input
        ``X`` of its type, a frame one input of shape (n, 1) for each column, as with
        skl2onnx. None makes rows up, of float32.
    extra_outputs : tuple of {"gate_proba", "standard_deviation"}, default=()
        Outputs after those of the prediction. ``"gate_proba"``: the gate's probabilities
        (n_samples, n_experts). ``"standard_deviation"`` (n_samples, n_outputs): that of
        ``predict(X, return_std=True)``, of a regressor with ``density="mixture"``.
    quantiles : float or tuple of float, default=()
        Probabilities between 0 and 1. If there are some, a last output ``quantiles`` has those
        of the target, (n_samples[, n_outputs], n_quantiles), as `predict_quantiles` gives them;
        of a regressor with ``density="mixture"``.
    tolerance : float, default=1e-5
        Largest difference from the mixture, relative to its largest value.

    Returns
    -------
    graph : onnx.ModelProto
        Outputs of a classifier: ``label`` (n,) and ``probabilities`` (n, n_classes). Of a
        regressor: ``variable`` (n, n_outputs). Numbers are float64 if an input is, else float32.
        ``metadata_props`` hold the version, classes, features, and five golden rows that
        `skmoe.onnx.verify` replays.

    Raises
    ------
    ImportError
        If a library of the extra ``onnx`` is not installed.
    ConversionError
        If an expert, the gate or the shared expert cannot be converted; names all of them. If
        the density is asked for and is not that of the experts.
    ReplayError
        If the graph and the mixture differ by more than the tolerance.

    See Also
    --------
    skmoe.dump : Saves everything, for Python.

    Notes
    -----
    Computed in float64 inside, whatever the inputs are: trees of scikit-learn (also of histogram
    gradient boosting) with a converter of our own, other estimators by skl2onnx where it can,
    and in float32 where it cannot (``SVC``, LightGBM, XGBoost, CatBoost). A forest rounds
    features to float32, as in scikit-learn. All experts are evaluated for all rows; with `top_k`
    the others have weight 0.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor, to_onnx
    >>> X = np.linspace(-1, 1, 200).reshape(-1, 1)
    >>> moe = MixtureOfExpertsRegressor(n_experts=2, random_state=0).fit(
    ...     X, np.abs(X[:, 0])
    ... )
    >>> try:
    ...     graph = to_onnx(moe, X.astype(np.float32))
    ...     print([output.name for output in graph.graph.output])
    ... except ImportError:  # without the extra
    ...     print(["variable"])
    ['variable']
    """
    import_library("onnxruntime")
    register_converters()
    mixture = mixture_of(model)
    check_is_fitted(model)
    extras = Extras.of(mixture, extra_outputs, quantiles)
    rows = made_up_rows(model) if X_sample is None else X_sample
    graph = Graph()
    features = declare_features(graph, rows, model.n_features_in_)
    outputs = model_outputs(graph, model, features, extras.of_density)
    declare_outputs(graph, mixture, outputs, features.floating)
    declare_extras(graph, mixture, outputs, features.floating, extras)
    written = graph.model(type(mixture).__name__)
    written.producer_name, written.producer_version = "skmoe", __version__
    try:
        agree(written, model, rows, features, tolerance)
        if extras != NO_EXTRAS:
            agree_besides(written, model, rows, features, tolerance, extras)
    except ReplayError as error:
        guilty = differing_parts(graph, model, outputs, rows, features, tolerance)
        raise ReplayError(f"{error}. By themselves differ: {', '.join(guilty)}") from None
    describe(written, model, rows, features, tolerance)
    return written


def differing_parts(
    graph: Graph,
    model: Any,
    outputs: MixtureOutputs,
    rows: Any,
    features: Features,
    tolerance: float,
) -> list[str]:
    """The parts of a mixture that its graph gets wrong, by name."""
    mixture, rows = mixture_of(model), rows[:MOST_ROWS]
    inputs, own = as_inputs(features, rows), rows_of_mixture(model, rows)
    opinions = mixture.predict_experts(own)
    expected = {"the gate": (outputs.gate_proba, mixture.gate_proba(own))}
    for k, name in enumerate(mixture.named_experts_):
        expected[f"expert {name!r}"] = (
            outputs.experts[k],
            opinions[:, k].reshape(len(opinions), -1),
        )
    for position, (tensor, _) in enumerate(expected.values()):
        graph.declare_output(f"part_{position}", tensor, element_type("float64"), None)
    found = answers(graph.model("parts"), inputs, [f"part_{i}" for i in range(len(expected))])
    return [
        name
        for (name, (_, truth)), part in zip(expected.items(), found, strict=True)
        if difference(truth, part) > tolerance
    ] or ["none of gate and experts, so it is the shared expert"]


def agree_besides(
    graph: Any, model: Any, rows: Any, features: Features, tolerance: float, extras: Extras
) -> None:
    """Hold the outputs besides the prediction against the mixture."""
    rows = rows[:MOST_ROWS]
    expected = extras.expected(mixture_of(model), rows_of_mixture(model, rows))
    found = answers(graph, as_inputs(features, rows), list(expected))
    for (name, truth), part in zip(expected.items(), found, strict=True):
        within(difference(truth, part), tolerance, f"the mixture says now, of {name}")


def rows_of_mixture(model: Any, rows: Any) -> Any:
    """Rows as the mixture sees them, behind the steps of a Pipeline."""
    own = as_float64(rows)
    return model[:-1].transform(own) if isinstance(model, Pipeline) else own


def mixture_of(model: Any) -> Any:
    """The mixture itself, or that at the end of a Pipeline.

    Raises
    ------
    TypeError
        If there is none.
    """
    last = bare(model[-1] if isinstance(model, Pipeline) else model)
    if not hasattr(last, "gate_proba"):
        raise TypeError(
            f"to_onnx converts a mixture of experts, or a Pipeline that ends in one; got "
            f"{type(model).__name__}. For other models use skl2onnx.to_onnx, after "
            "skmoe.onnx.register_converters() if there is a mixture inside"
        )
    return last


def made_up_rows(model: Any) -> Any:
    """Rows for a mixture that came without a sample."""
    if isinstance(model, Pipeline):
        raise ValueError("X_sample: give a few rows like those that the Pipeline was fitted on")
    rows = io.invented_rows(model)
    return rows if hasattr(rows, "columns") else rows.astype(np.float32)


def model_outputs(
    graph: Graph, model: Any, features: Features, with_density: bool
) -> MixtureOutputs:
    """Write a mixture, and the steps of a Pipeline before it."""
    if isinstance(model, Pipeline):
        if len(model.steps) > 1:
            try:
                features = transformed(graph, model[:-1], features)
            except ConversionError as error:
                raise ConversionError(f"the steps before the mixture: {error}") from error
        model = model[-1]
    return mixture_outputs(graph, bare(model), features, with_density)


def declare_outputs(graph: Graph, mixture: Any, outputs: MixtureOutputs, floating: str) -> None:
    """Write the outputs of the prediction."""
    width = n_columns(mixture)
    if is_classifier(mixture):
        labels, kind = class_labels(graph, mixture, outputs.prediction)
        graph.declare_output("label", labels, element_type(kind), [None])
    name = "probabilities" if is_classifier(mixture) else "variable"
    declare_numbers(graph, name, outputs.prediction, floating, [None, width])


def declare_extras(
    graph: Graph, mixture: Any, outputs: MixtureOutputs, floating: str, extras: Extras
) -> None:
    """Write the outputs besides the prediction."""
    gate_proba, width = outputs.gate_proba, n_columns(mixture)
    if "gate_proba" in extras.names:
        shape = [None, mixture.n_experts_]
        declare_numbers(graph, "gate_proba", gate_proba, floating, shape)
    if not extras.of_density:
        return
    of = density(graph, mixture, gate_proba, outputs.opinions, outputs.shared)
    if "standard_deviation" in extras.names:
        deviation = standard_deviation(graph, of)
        declare_numbers(graph, "standard_deviation", deviation, floating, [None, width])
    if extras.quantiles:
        said, shape = quantiles_of(graph, of, extras.quantiles), [None, width]
        if width == 1:
            said, shape = graph.add("Squeeze", said, graph.constant(np.array([1]))), [None]
        shape = [*shape, len(extras.quantiles)]
        declare_numbers(graph, "quantiles", said, floating, shape)


def declare_numbers(graph: Graph, name: str, tensor: str, floating: str, shape: Any) -> None:
    """Write an output of numbers."""
    graph.declare_output(name, graph.cast(tensor, floating), element_type(floating), shape)
