"""What reports and displays ask of a mixture, by its public attributes."""

import numpy as np
from sklearn.utils import _safe_indexing
from sklearn.utils._indexing import _get_column_indices
from sklearn.utils.validation import check_is_fitted


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


def gate_columns(model, X):
    """Positions of the columns that the gate sees, as `gate_features` says.

    Parameters
    ----------
    model : fitted mixture
    X : array-like, sparse matrix or frame of shape (n_samples, n_features)

    Returns
    -------
    columns : list of int
    """
    chosen = model.gate_features(X) if callable(model.gate_features) else model.gate_features
    if chosen is None:
        return list(range(model.n_features_in_))
    return [int(column) for column in _get_column_indices(X, chosen)]


def gate_part(model, X):
    """The columns that the gate sees, in the form of X."""
    X = X if hasattr(X, "shape") else np.asarray(X)
    return X if model.gate_features is None else _safe_indexing(X, gate_columns(model, X), axis=1)


def gate_input(model, X):
    """The gate's features of X as numbers, and their names.

    Parameters
    ----------
    model : fitted mixture
    X : array-like, sparse matrix or frame of shape (n_samples, n_features)

    Returns
    -------
    Z : ndarray of shape (n_samples, n_gate_features), float64
    names : list of str
    """
    part, names = gate_part(model, X), feature_names(model)
    dense = part.toarray() if hasattr(part, "toarray") else np.asarray(part)
    return dense.astype(np.float64), [names[column] for column in gate_columns(model, X)]


def row_labels(X):
    """Index of a pandas frame, else None."""
    return X.index if hasattr(X, "iloc") else None
