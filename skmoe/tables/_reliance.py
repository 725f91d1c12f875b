"""Which kind of column a prediction rests on: ablation by blanking."""

from __future__ import annotations

import numpy as np
from sklearn.base import is_classifier
from sklearn.metrics import log_loss, root_mean_squared_error
from sklearn.utils.validation import check_is_fitted

from ._frames import blanked
from ._kinds import KINDS, column_kinds


def blank_columns(X, model):
    """A frame with all columns that a model was fitted on: those that it lacks are missing values.

    For tables that come without a whole kind of column. What that costs is what `kind_report`
    says of held-out rows; `KindDropout` makes it less.

    Parameters
    ----------
    X : pandas or polars frame of shape (n_samples, n_columns)
    model : fitted estimator
        With ``feature_names_in_``.

    Returns
    -------
    X : frame of shape (n_samples, n_features)
        Columns in the order of the model; columns that it does not know are left out.

    Raises
    ------
    TypeError
        If X is no frame.
    ValueError
        If the model does not know names of columns, or X has none of them.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.tree import DecisionTreeRegressor
    >>> from skmoe.tables import blank_columns
    >>> X = pd.DataFrame({"size": [20.0, 30.0, 40.0], "floor": [0, 1, 2]})
    >>> model = DecisionTreeRegressor().fit(X, [1.0, 2.0, 3.0])
    >>> blank_columns(pd.DataFrame({"floor": [1]}), model)
       size  floor
    0   NaN      1
    """
    check_is_fitted(model)
    if not hasattr(X, "columns"):
        raise TypeError(f"X must be a frame, whose columns have names; got {type(X).__name__}")
    if not hasattr(model, "feature_names_in_"):
        raise ValueError("the model knows no names of columns; fit it to a frame")
    wanted = list(model.feature_names_in_)
    absent = [name for name in wanted if name not in X.columns]
    if len(absent) == len(wanted):
        raise ValueError(f"X has none of the columns that the model was fitted on: {wanted}")
    if hasattr(X, "iloc"):
        return X.assign(**dict.fromkeys(absent, np.nan))[wanted]
    one = next(name for name in wanted if name in X.columns)
    nothing = X.clear(len(X))[one]
    return X.with_columns([nothing.alias(name) for name in absent])[wanted]


def kind_reliance(model, X, kinds=None):
    """How far the prediction for each row moves if a kind of column is missing.

    Parameters
    ----------
    model : fitted estimator
        A mixture or any other that takes the raw table.
    X : {frame, array-like} of shape (n_samples, n_features)
    kinds : dict of {column: str}, default=None
        What is not to be guessed of `column_kinds`.

    Returns
    -------
    reliance : dict of {str: ndarray of shape (n_samples,)}
        For each kind that the table has. Of a classifier the total variation between the class
        probabilities with and without the kind, from 0 to 1; of a regressor the absolute change
        (of several outputs, their mean).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.tree import DecisionTreeRegressor
    >>> from skmoe.tables import kind_reliance
    >>> X = np.column_stack([np.linspace(0, 1, 200), np.arange(200) % 3])
    >>> model = DecisionTreeRegressor().fit(X, X[:, 0])
    >>> for kind, change in kind_reliance(model, X).items():
    ...     print(f"{kind} {change.max():.1f}")
    numeric 1.0
    code 0.0
    """
    check_is_fitted(model)
    X = X if hasattr(X, "columns") or hasattr(X, "dtype") else np.asarray(X, dtype=object)
    kinds, whole = column_kinds(X, kinds), _said(model, X)
    return {
        kind: _distance(model, whole, _said(model, blanked(X, kinds.columns(kind))))
        for kind in KINDS
        if kinds.columns(kind)
    }


def kind_report(model, X, y, kinds=None):
    """What each kind of column is worth: the loss without it, and what the gate does then.

    Parameters
    ----------
    model : fitted estimator
        A mixture or any other that takes the raw table.
    X : frame of shape (n_samples, n_features)
        Rows that the model was not trained on.
    y : array-like of shape (n_samples,)
    kinds : dict of {column: str}, default=None
        What is not to be guessed of `column_kinds`.

    Returns
    -------
    report : pandas.DataFrame
        Indexed by kind, the most costly one first. Columns:

        - ``columns``: how many there are;
        - ``loss``: root mean squared error or log-loss without the kind;
        - ``ratio``: that loss over the loss on whole rows;
        - ``reliance``: mean of `kind_reliance`;
        - ``leads``: share of rows whose prediction rests on this kind more than on any other;
        - of mixtures, ``gate``: mean total variation between the gate's probabilities with and
          without the kind; and ``gains``: the expert that gains most from its absence. A gate
          that sends rows to the expert which has lost its columns is one to be trained with
          `KindDropout`, or to be given fewer `gate_features`.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from skmoe.tables import feature_experts, kind_report
    >>> X = pd.DataFrame(
    ...     {"size": np.linspace(0, 1, 300), "town": ["York", "Hull", "Ely"] * 100}
    ... )
    >>> model = dict(feature_experts(X, "regression", cheap=True))["linear"]
    >>> model = model.fit(X[::2], X["size"][::2])
    >>> kind_report(model, X[1::2], X["size"][1::2]).index[0]
    'numeric'
    """
    import pandas as pd

    kinds = column_kinds(X, kinds)
    reliance = kind_reliance(model, X, kinds)
    whole, most = _loss(model, X, y), np.max(list(reliance.values()), axis=0)
    rows = []
    for kind, moved in reliance.items():
        without = blanked(X, kinds.columns(kind))
        loss = _loss(model, without, y)
        row = {"kind": kind, "columns": len(kinds.columns(kind)), "loss": loss}
        row |= {"ratio": loss / whole, "reliance": moved.mean()}
        row["leads"] = np.mean((moved == most) & (most > 0))
        if hasattr(model, "gate_proba"):
            change = model.gate_proba(without) - model.gate_proba(X)
            row["gate"] = np.abs(change).sum(axis=1).mean() / 2
            row["gains"] = list(model.named_experts_)[change.mean(axis=0).argmax()]
        rows.append(row)
    table = pd.DataFrame(rows).set_index("kind")
    return table.sort_values("ratio", ascending=False)


def _said(model, X):
    said = model.predict_proba(X) if is_classifier(model) else model.predict(X)
    if isinstance(said, list):
        raise ValueError(
            f"what a prediction rests on is told of one output of classes, and the model has "
            f"{len(said)}; fit a model for each"
        )
    return np.asarray(said)


def _distance(model, one, other):
    change = np.abs(one - other).reshape(len(one), -1)
    return change.sum(axis=1) / 2 if is_classifier(model) else change.mean(axis=1)


def _loss(model, X, y):
    if is_classifier(model):
        return log_loss(y, model.predict_proba(X), labels=model.classes_)
    return root_mean_squared_error(y, model.predict(X))
