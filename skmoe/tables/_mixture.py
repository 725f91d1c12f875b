"""A mixture for a raw table, in one call."""

from __future__ import annotations

import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.utils.multiclass import type_of_target

from .._classifier import MixtureOfExpertsClassifier
from .._regressor import MixtureOfExpertsRegressor
from ..fitted import GateColumns
from ..gates import SoftmaxGate
from ._dropout import KindDropout
from ._encoders import components, encoder
from ._experts import STRINGS, TASKS, feature_experts, readable_experts
from ._frames import column_names
from ._kinds import KINDS, column_kinds

GOALS = ("accuracy", "robust", "fast", "readable")

MOST_CLASSES = 20
"""Whole numbers of more different values are quantities to predict, not classes."""


def make_mixture(X, y, goal="accuracy", *, task=None, kinds=None, random_state=None):
    """Look at a table and put a mixture for it together.

    What comes back is an ordinary unfitted estimator, which `to_code` prints as the code that one
    could have written. It can be changed, searched, put into a Pipeline, and dumped.

    ==============  ==========================================================================
    ``"accuracy"``  all of `feature_experts`, the default gate, and a consensus of the experts
    ``"robust"``    the same, but each expert is also fitted to copies of rows in which a kind of
                    column is missing; see `KindDropout`
    ``"readable"``  a linear expert for each kind of column, one of all columns and a tree of at
                    most 16 leaves; a linear gate, no consensus
    ``"fast"``      the cheap ones of `feature_experts` and three folds
    ==============  ==========================================================================

    Parameters
    ----------
    X : {frame, array-like} of shape (n_samples, n_features)
        The training table: its columns are looked at, nothing is fitted.
    y : array-like of shape (n_samples,)
        Tells regression from classification: strings, booleans and up to 20 different whole
        numbers are classes.
    goal : {"accuracy", "robust", "fast", "readable"}, default="accuracy"
    task : {"regression", "classification"}, default=None
        Where `y` does not tell.
    kinds : dict of {column: str}, default=None
        What is not to be guessed of `column_kinds`.
    random_state : int, RandomState instance or None, default=None
        That of the mixture.

    Returns
    -------
    moe : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier

    Raises
    ------
    ValueError
        If `goal` or `task` do not exist, if y has missing values or several outputs of classes,
        or if there is no column to learn from.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from skmoe.tables import make_mixture
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame(
    ...     {"size": rng.uniform(20, 90, 200), "town": rng.choice(["A", "B"], 200)}
    ... )
    >>> rent = X["size"] * np.where(X["town"] == "A", 9.0, 14.0) + rng.normal(
    ...     size=200
    ... )
    >>> moe = make_mixture(X, rent, goal="readable", random_state=0).fit(X, rent)
    >>> print(f"{moe.score(X, rent):.2f}")
    0.99
    """
    if goal not in GOALS:
        raise ValueError(f"goal must be one of {GOALS}, got {goal!r}")
    if task not in (None, *TASKS):
        raise ValueError(f"task must be None or one of {TASKS}, got {task!r}")
    task = task or task_of(y)
    if task == "classification" and np.ndim(y) > 1 and np.shape(y)[1] > 1:
        raise ValueError(
            f"make_mixture is for one output of classes; y has the shape {np.shape(y)}. Take a "
            "MixtureOfExpertsClassifier of experts that take several, or a mixture for each"
        )
    kinds = column_kinds(X, kinds)
    mixture = MixtureOfExpertsRegressor if task == "regression" else MixtureOfExpertsClassifier
    settings = {"overlap": 1.0, "random_state": random_state, **table_gate(X, kinds)}
    if goal == "readable":
        return mixture(readable_experts(kinds, task), shared_expert=None, **settings)
    experts = feature_experts(X, task, kinds, cheap=goal == "fast")
    if goal == "fast":
        settings["cv"] = 3
    if goal == "robust":
        experts = [(name, KindDropout(expert, dict(kinds))) for name, expert in experts]
    shared = "consensus" if len(experts) > 1 else None
    return mixture(experts, shared_expert=shared, **settings)


def task_of(y):
    """The task, "regression" or "classification", by the look of a target."""
    y = np.asarray(y)
    if y.dtype.kind not in "biuf":
        return "classification"
    if not np.isfinite(y).all():
        raise ValueError("y holds missing or infinite values; drop these rows")
    is_continuous = type_of_target(y).startswith("continuous")
    many = len(np.unique(y)) > MOST_CLASSES
    return "regression" if is_continuous or many else "classification"


def table_gate(X, kinds):
    """Parameters of the gate: the default one, without columns that are left out of the table.

    Where there are strings alone, which the default gate leaves to the experts, it gets n-grams.
    """
    encodable = encodable_columns(X)
    usable = [name for name in encodable if name in kinds.columns(*KINDS)]
    if not usable:
        strings = encoder(kinds, [("strings", STRINGS, components(), True)])
        return {"gate": make_pipeline(strings, SoftmaxGate())}
    return {} if len(usable) == len(encodable) else {"gate_features": usable}


def encodable_columns(X):
    """Names of the columns that the default gate sees where it is given all of them."""
    try:
        seen = GateColumns.of(X, None, encode=True).seen
    except ValueError:  # there is none
        return []
    names = column_names(X)
    return [names[position] for position in seen]
