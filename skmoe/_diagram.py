"""The diagram of a mixture that notebooks show."""

from inspect import isclass

from sklearn.base import BaseEstimator

from .gates import SoftmaxGate

GAP = "\N{EM SPACE}"
"""Between captions that stand side by side."""

MOST_PARTS = 16
"""Estimators in the experts up to which all are drawn; each takes some 10 kB."""


def diagram(mixture, default_expert):
    """Gate, experts and shared expert as scikit-learn draws estimators; once fitted, with shares.

    Weights are parts of the prediction: those of the experts leave room for the shared expert's.

    Experts that are made of many parts are drawn as one box each.

    What stands before the colon of a label is how scikit-learn prefixes the names of parameters
    that are copied from the diagram: ``experts`` for clones, the name of a member of a list.

    Parameters
    ----------
    mixture : estimator
        Fitted or not. Where its parameters are so wrong that this raises, scikit-learn shows
        them without a diagram.
    default_expert : estimator
        Stands in for ``experts=None``.

    Returns
    -------
    block : _VisualBlock
        Of scikit-learn, where it is private and has moved between releases.
    """
    _VisualBlock = _visual_block()
    listed = isinstance(mixture.experts, list)
    if hasattr(mixture, "gate_"):
        gate, experts, names = mixture.gate_, mixture.experts_, mixture.named_experts_
        labels = list(names) if listed else [f"experts: {name}" for name in names]
        if hasattr(mixture, "utilization_"):  # it goes when an expert is dropped without data
            colon = ":" if listed else ","
            shares = zip(labels, mixture.utilization_.mass, strict=True)
            labels = [f"{label}{colon} {mass:.0%} of the weight{GAP}" for label, mass in shares]
    else:
        gate = SoftmaxGate() if mixture.gate is None else mixture.gate
        if listed:
            labels = [name for name, _ in mixture.experts]
            experts = [expert for _, expert in mixture.experts]
        else:
            number = "" if mixture.n_experts in ("auto", None) else f"{mixture.n_experts} "
            labels = [f"experts: {number}clones"]
            experts = [default_expert if mixture.experts is None else mixture.experts]
    brief = _n_parts(experts) > MOST_PARTS
    drawable = [_in_brief(expert) if brief else _drawable(expert) for expert in experts]
    parts = [
        _VisualBlock("parallel", [_drawable(gate)], names=["gate"], dash_wrapped=False),
        _VisualBlock("parallel", drawable, names=labels, dash_wrapped=False),
    ]
    shared = getattr(mixture, "shared_expert_", None)
    if shared is not None:
        # A consensus is not heard if `top_k` asks few experts: then it is not in the figures.
        figures = getattr(mixture, "utilization_", None)
        heard = mixture.shared_weight_ if figures is None else figures.shared_weight
        weight = f"shared expert: {heard:.0%} of the prediction"
        drawn = _drawable(shared) if isinstance(shared, BaseEstimator) else type(shared).__name__
        parts.append(_VisualBlock("parallel", [drawn], names=[weight], dash_wrapped=False))
    return _VisualBlock("serial", parts, dash_wrapped=False)


def _visual_block():
    """The class of scikit-learn's blocks, which is private and has moved between releases."""
    try:
        from sklearn.utils._repr_html.estimator import _VisualBlock
    except ImportError:  # before 1.7
        from sklearn.utils._estimator_html_repr import _VisualBlock
    return _VisualBlock


def _n_parts(experts):
    """How many estimators a diagram of these would show, each with a table of parameters."""
    nested = [
        value
        for expert in experts
        if not _in_words(expert) and isinstance(expert, BaseEstimator)
        for value in expert.get_params().values()
        if isinstance(value, BaseEstimator)
    ]
    return len(experts) + len(nested)


def _in_brief(expert):
    """One box for an expert with all that is in it."""
    drawable = _drawable(expert)
    if isinstance(drawable, str):
        return drawable
    block, name = _visual_block(), type(expert).__name__
    return block("single", [expert], names=name, name_details=repr(expert))


def _drawable(part):
    """The estimator; in words if it is a class by mistake, or lies in a file not yet read."""
    return repr(part) if _in_words(part) else part


def _in_words(part):
    return hasattr(type(part), "__lazy_expert__") or isclass(part)
