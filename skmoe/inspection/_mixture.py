"""What reports and displays ask of a mixture, by its public attributes."""

import warnings
from numbers import Number

import numpy as np
from scipy.stats import laplace, norm
from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils._missing import is_pandas_na
from sklearn.utils.validation import check_is_fitted

NOISE = {"gaussian": norm, "laplace": laplace}
"""Distributions of `scipy.stats` by the mixture's parameter `likelihood`."""


def noise_of(model):
    """Distribution of an expert's errors in units of its scale, symmetric around 0.

    Parameters
    ----------
    model : MixtureOfExpertsRegressor

    Returns
    -------
    noise : rv_continuous of scipy.stats

    Raises
    ------
    ValueError
        If its likelihood has none here.
    """
    if model.likelihood not in NOISE:
        raise ValueError(
            f"no quantiles are known for likelihood={model.likelihood!r}, only for {list(NOISE)}"
        )
    return NOISE[model.likelihood]


def check_mixture(model):
    """Raise unless the model is a fitted mixture of experts.

    Parameters
    ----------
    model : object

    Raises
    ------
    TypeError
        If it has no gate.
    NotFittedError
        If it is not fitted.
    """
    if not hasattr(model, "gate_proba"):
        raise TypeError(
            f"expected a MixtureOfExpertsClassifier or MixtureOfExpertsRegressor, got "
            f"{type(model).__name__}; of a Pipeline, give its last step and the X that it sees"
        )
    check_is_fitted(model)


def has_several_classes(model):
    """Whether a fitted mixture predicts several outputs of classes."""
    return is_classifier(model) and isinstance(model.classes_, list)


def check_one_target(model, what):
    """Refuse a mixture of several outputs of classes.

    Raises
    ------
    ValueError
    """
    if has_several_classes(model):
        raise ValueError(
            f"{what} is of one output of classes, and this mixture has {len(model.classes_)}; "
            "expert_report takes several, or fit a mixture for each"
        )


def figure_of_training(model, name):
    """A fitted attribute that tells of training, which an operation on the experts may remove.

    Parameters
    ----------
    model : fitted mixture
    name : str

    Returns
    -------
    figure : object

    Raises
    ------
    ValueError
        If it is not there.
    """
    if not hasattr(model, name):
        raise ValueError(
            f"this mixture has no {name}: it told of experts that have been dropped since; "
            "drop or prune with data, or fit again, to have it"
        )
    return getattr(model, name)


LEAST_SAY = 0.1
"""Weight of the gate's part in the prediction below which an explanation of it may mislead."""


def warn_if_unheard(model, X, what):
    """Warn where next to nothing of the prediction is the gate's to decide.

    Parameters
    ----------
    model : fitted mixture
    X : {array-like, sparse matrix, frame} of shape (n_samples, n_features)
    what : str
        What explains the gate.

    Returns
    -------
    shared_weight : float
        Part of the prediction that is the shared expert's.
    """
    shared_weight = model.route(X).shared_weight
    if shared_weight > 1 - LEAST_SAY + 1e-9:  # weights are rounded
        warnings.warn(
            f"{what} explains a gate that has {1 - shared_weight:.0%} of the say in the "
            f"prediction: the rest is the shared expert's (shared_weight_={shared_weight:.2f}). "
            "With shared_expert=None, or another pool of experts, the gate decides",
            UserWarning,
            stacklevel=3,
        )
    return shared_weight


def import_pandas(name):
    """Pandas, or an error that says what needs it and how to get it."""
    try:
        import pandas
    except ImportError as error:
        raise ImportError(f"{name} needs pandas: pip install 'skmoe[pandas]'") from error
    return pandas


def feature_names(model):
    """Names of all features: those of the frame in training, else x0, x1, ..."""
    if hasattr(model, "feature_names_in_"):
        return [str(name) for name in model.feature_names_in_]
    return [f"x{column}" for column in range(model.n_features_in_)]


def gate_columns(model):
    """Positions of the columns of X that the gate sees.

    Parameters
    ----------
    model : fitted mixture

    Returns
    -------
    columns : list of int
    """
    return [int(column) for column in model.gate_columns_.seen]


def rows_of(X):
    """X in a form of which rows and columns can be taken."""
    if hasattr(X, "columns") and not hasattr(X, "dtypes") and hasattr(X, "to_pandas"):
        return X.to_pandas()
    X = X if hasattr(X, "shape") else np.asarray(X)
    if len(X.shape) != 2:
        raise ValueError(
            f"X must have two dimensions, (n_samples, n_features), and has the shape {X.shape}; "
            "of a single row give X[:1], or X.iloc[:1] of a frame"
        )
    return X


def last_step(gate):
    """The gate itself where a Pipeline prepares its features."""
    return gate[-1] if isinstance(gate, Pipeline) else gate


def gate_view(model, X):
    """The features as the gate itself sees them: encoded, and prepared if it is in a Pipeline."""
    X = rows_of(X)
    X = X.tocsr() if hasattr(X, "tocsr") else X  # of which columns can be taken
    X = model.gate_columns_.transform(X)
    return model.gate_[:-1].transform(X) if isinstance(model.gate_, Pipeline) else X


def gate_input(model, X):
    """What `gate_view` returns as numbers, and the names of the features.

    Parameters
    ----------
    model : fitted mixture
    X : array-like, sparse matrix or frame of shape (n_samples, n_features)

    Returns
    -------
    Z : ndarray of shape (n_samples, n_gate_features), float64
    names : list of str
    """
    view, names = gate_view(model, X), model.gate_columns_.get_feature_names_out().tolist()
    Z = (view.toarray() if hasattr(view, "toarray") else np.asarray(view)).astype(np.float64)
    if isinstance(model.gate_, Pipeline):
        try:
            names = [str(name) for name in model.gate_[:-1].get_feature_names_out(names)]
        except AttributeError:  # of a step that does not know
            names = [f"z{column}" for column in range(Z.shape[1])]
    return Z, names


def check_target(model, y, outputs):
    """The target as an array whose rows have the shape of the experts' predictions.

    Parameters
    ----------
    model : fitted mixture
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
    outputs : ndarray of shape (n_samples, n_experts[, n_classes or n_outputs])
        What `predict_experts` returned.

    Returns
    -------
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)

    Raises
    ------
    ValueError
        If the shapes do not match, if there are labels that fit has not seen, or no rows.
    """
    if has_several_classes(model):
        y = np.asarray(y)
        if y.shape[1:] != (len(model.classes_),):
            raise ValueError(f"y has the shape {y.shape}; {len(model.classes_)} outputs wanted")
        check_labels(y.T, model.classes_)
    elif is_classifier(model):
        y = column_or_1d(y)
        check_labels([y], [model.classes_])
    elif outputs.ndim == 2:
        y = column_or_1d(y)
    else:
        y = np.asarray(y)
        if y.shape[1:] != outputs.shape[2:]:
            raise ValueError(
                f"y has the shape {y.shape}; the shape of one row must be {outputs.shape[2:]}, "
                "as in fit"
            )
    check_consistent_length(outputs, y)
    if len(y) == 0:
        raise ValueError("X has no rows; give at least one")
    return y


def check_labels(outputs, classes):
    """Raise if some labels of the outputs are none of its classes."""
    for labels, known in zip(outputs, classes, strict=True):
        unknown = np.setdiff1d(labels, known)
        if len(unknown):
            raise ValueError(f"y holds labels that fit has not seen: {unknown.tolist()}")


def row_weights(sample_weight, n_samples):
    """Weights of rows, of which some are positive; ones for None."""
    if sample_weight is None:
        return np.ones(n_samples, dtype=int)  # so that sums of them are counts
    weights = column_or_1d(sample_weight, dtype=np.float64)
    if len(weights) != n_samples:
        raise ValueError(f"sample_weight has {len(weights)} values for {n_samples} rows")
    if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
        raise ValueError("sample_weight must be finite and non-negative, and not all zero")
    return weights


def as_numbers(values):
    """A column as float64, NaN where a value is missing; None if it does not hold numbers."""
    if values.dtype.kind in "biuf":
        return values.astype(np.float64)
    if values.dtype.kind != "O":
        return None
    known = [np.nan if value is None or is_pandas_na(value) else value for value in values]
    numeric = all(isinstance(value, Number) for value in known)
    return np.array(known, dtype=np.float64) if numeric else None


def row_labels(X):
    """Index of a pandas frame, else None."""
    return X.index if hasattr(X, "iloc") else None
