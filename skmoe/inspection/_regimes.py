"""The regimes of a mixture of linear experts, so that one can read them."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

import numpy as np
from sklearn.base import is_classifier

from ._equations import (
    Equation,
    NamelessColumnsError,
    equations_of,
    is_linear_model,
    taken_apart,
)
from ._mixture import (
    as_numbers,
    check_mixture,
    check_one_target,
    feature_names,
    import_pandas,
    row_weights,
    rows_of,
)
from ._report import classification_errors, mean_of, regression_errors

FEWEST_APART = 0.2
"""Distance between the distributions inside and outside from which a feature is worth a word."""

MOST_VALUES = 3
"""Values of a category that a description names."""


@dataclass(frozen=True)
class Regime:
    """One expert, and the rows that it answers for.

    Attributes
    ----------
    name : str
    share : float
        Of the rows, or of their weights, it is the most probable expert of.
    description : str
        The features that set these rows apart, in their units.
    equations : tuple of Equation
        One; of several outputs, or of three or more classes, several; none of an expert that is
        not linear, or whose columns have no names (hashed text, say).
    error : float
        Of the expert on its rows: root mean squared error, or log-loss. NaN without rows.
    scale : float
        Standard deviation of its noise as the mixture has learned it; NaN for classes.
    expert : str
        Name of its class; of a Pipeline, that of the last step.
    """

    name: str
    share: float
    description: str
    equations: tuple[Equation, ...]
    error: float
    scale: float
    expert: str

    @property
    def equation(self):
        """All equations as text; of an expert that has none, what it is."""
        return "; ".join(str(each) for each in self.equations) or f"{self.expert}, no equation"


@dataclass(frozen=True)
class RegimeTable:
    """What `regime_table` returns; as text it is what a reader wants to know.

    Attributes
    ----------
    regimes : tuple of Regime
    is_classifier : bool
    """

    regimes: tuple[Regime, ...]
    is_classifier: bool

    def to_frame(self):
        """One row per regime.

        Returns
        -------
        frame : pandas.DataFrame
            Columns ``share``, ``description``, ``equation``, ``error`` and ``scale``.
        """
        pd = import_pandas("to_frame")
        names = ("share", "description", "equation", "error", "scale")
        columns = {name: [getattr(each, name) for each in self.regimes] for name in names}
        return pd.DataFrame(columns, index=pd.Index([r.name for r in self.regimes], name="regime"))

    def coefficients(self):
        """One row per regime, outcome and term.

        Returns
        -------
        frame : pandas.DataFrame
            Columns ``coef`` and ``error``, its standard error; of classes also ``odds``, the
            factor by which the odds rise with one unit.
        """
        pd = import_pandas("coefficients")
        rows = [
            (regime.name, each.outcome, name, value, error)
            for regime in self.regimes
            for each in regime.equations
            for name, value, error in zip(
                ("intercept", *each.terms),
                (each.intercept, *each.coef),
                (each.intercept_error, *each.coef_error),
                strict=True,
            )
        ]
        frame = pd.DataFrame(rows, columns=["regime", "outcome", "term", "coef", "error"])
        frame = frame.set_index(["regime", "outcome", "term"])
        return frame.assign(odds=np.exp(frame["coef"])) if self.is_classifier else frame

    def __str__(self):
        measure = "log-loss" if self.is_classifier else "error"
        blocks = []
        for regime in self.regimes:
            scale = "" if np.isnan(regime.scale) else f", scale {regime.scale:.3g}"
            head = f"{regime.name}: {regime.share:.0%} of the rows, {measure} {regime.error:.3g}"
            equations = [str(each) for each in regime.equations] or [regime.equation]
            blocks.append("\n  ".join([head + scale, regime.description, *equations]))
        return "\n".join(blocks)

    def _repr_html_(self):
        head = "".join(f"<th>{name}</th>" for name in ("regime", "share", "rows", "equation"))
        head += f"<th>{'log-loss' if self.is_classifier else 'error'}</th>"
        lines = [
            f"<tr><th>{escape(each.name)}</th><td>{each.share:.0%}</td>"
            f"<td>{escape(each.description)}</td><td>{escape(each.equation)}</td>"
            f"<td>{each.error:.3g}</td></tr>"
            for each in self.regimes
        ]
        return f"<table><tr>{head}</tr>{''.join(lines)}</table>"


def regime_table(model, X, y, *, sample_weight=None, n_features=3):
    """One row per regime: who is in it, and what its expert says of them, if that is linear.

    A row belongs to the regime of its most probable expert. To be able to read a mixture, fit it
    with ``overlap=0, shared_expert=None``: otherwise the equations are not all that it predicts
    with.

    Parameters
    ----------
    model : MixtureOfExpertsClassifier or MixtureOfExpertsRegressor
        Fitted. Linear experts have equations: models with ``coef_`` and ``intercept_``, or
        Pipelines that lead to one through scalers, encoders and a `ColumnTransformer`.
    X : {array-like, frame} of shape (n_samples, n_features)
        The rows of training for the standard errors; new ones for an honest error.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
    sample_weight : array-like of shape (n_samples,), default=None
        For shares, errors and descriptions.
    n_features : int, default=3
        Features named in a description at most.

    Returns
    -------
    table : RegimeTable
        Print it, or see it in a notebook; ``to_frame()`` and ``coefficients()`` give frames.

    Notes
    -----
    Coefficients are in units of the features. Standard errors are those of (penalised) least
    squares or logistic regression on the rows of the regime, with its scale: as if the borders
    were known. They are NaN for models other than `LinearRegression`, `Ridge` and
    `LogisticRegression` of two classes, if there are fewer rows than coefficients, and of a
    column that is the same in all rows of the regime (a category that does not occur there).

    A description names the features of which the distribution inside differs most from that
    outside (Kolmogorov-Smirnov distance; of categories total variation), with the range from the
    10th to the 90th percentile and the median, or the most frequent values.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sklearn.linear_model import LinearRegression
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.gates import SoftmaxGate
    >>> from skmoe.inspection import regime_table
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame(
    ...     {"hour": rng.integers(0, 24, 800), "warmth": rng.normal(15, 5, 800)}
    ... )
    >>> day = (X["hour"] >= 8) & (X["hour"] < 18)
    >>> y = np.where(day, 100 + 10 * X["warmth"], 20 + X["warmth"]) + rng.normal(
    ...     size=800
    ... )
    >>> moe = MixtureOfExpertsRegressor(
    ...     LinearRegression(),
    ...     n_experts=2,
    ...     gate=SoftmaxGate("auto", terms="splines"),
    ...     overlap=0.0,
    ...     shared_expert=None,
    ...     random_state=0,
    ... ).fit(X, y)
    >>> table = regime_table(moe, X, y)
    >>> warmth = table.coefficients()["coef"].xs("warmth", level="term")
    >>> bool(np.abs(np.sort(warmth) - [1, 10]).max() < 0.1)
    True
    """
    check_mixture(model)
    check_one_target(model, "regime_table")
    X = rows_of(X)
    top = model.apply(X)
    weights = row_weights(sample_weight, len(top))
    classes = is_classifier(model)
    own = np.where(top == np.arange(model.n_experts_)[:, np.newaxis], weights, 0)
    errors = (classification_errors if classes else regression_errors)(model, X, y, own)[0]
    columns = columns_of(X, feature_names(model))
    regimes = []
    for k, (name, expert) in enumerate(model.named_experts_.items()):
        scale = np.nan if classes else model.scale_[k]
        mine = np.flatnonzero(own[k])
        rows = X.iloc[mine] if hasattr(X, "iloc") else X[mine]
        regimes.append(
            Regime(
                name,
                float(own[k].sum() / weights.sum()),
                description(columns, own[k] > 0, weights, n_features),
                _equations(model, expert, rows if len(mine) else None, scale),
                float(mean_of(errors[k], own[k], model)),
                float(np.mean(scale)),
                type(taken_apart(expert)[1]).__name__,
            )
        )
    return RegimeTable(tuple(regimes), classes)


def _equations(model, expert, rows, scale):
    """The equations of an expert; none if it is not linear, or of columns without names."""
    if not is_linear_model(taken_apart(expert)[1]):
        return ()
    try:
        return tuple(equations_of(model, expert, rows, scale))
    except NamelessColumnsError:
        return ()


def columns_of(X, names):
    """Columns by name: numbers as float64, of anything else the text."""
    if hasattr(X, "columns"):
        arrays = [np.asarray(X[name]) for name in X.columns]
    else:
        arrays = list((X.toarray() if hasattr(X, "toarray") else X).T)
    numbers = (as_numbers(array) for array in arrays)
    return {
        name: array.astype(str) if values is None else values
        for name, array, values in zip(names, arrays, numbers, strict=True)
    }


def description(columns, own, weights, n_features):
    """What sets some rows apart from the others, in words."""
    if not own.any():
        return "no rows"
    found: list[tuple[float, int, str]] = []
    for name, values in columns.items():
        there = weights > 0
        if values.dtype.kind == "f":
            there &= ~np.isnan(values)
        inside, outside = there & own, there & ~own
        if inside.any() and outside.any():
            distance, text = compared(values, inside, outside, weights)
            found.append((-distance, len(found), f"{name} {text}"))
    named = [text for distance, _, text in sorted(found) if -distance >= FEWEST_APART]
    return ", ".join(named[:n_features]) or "like the others"


def compared(values, inside, outside, weights):
    """Distance between two groups of rows, and the first group in words."""
    distinct, codes = np.unique(values, return_inverse=True)
    mass = np.array(
        [
            np.bincount(codes[rows], weights[rows], len(distinct)) / weights[rows].sum()
            for rows in (inside, outside)
        ]
    )
    if values.dtype.kind != "f":
        surplus = mass[0] - mass[1]
        order = np.argsort(-mass[0], kind="stable")[:MOST_VALUES]
        text = ", ".join(f"{distinct[i]} ({mass[0, i]:.0%})" for i in order if mass[0, i] > 0)
        return surplus.clip(min=0).sum(), f"is {text}"
    below = np.cumsum(mass, axis=1)
    low, middle, high = distinct[np.searchsorted(below[0], [0.1 - 1e-9, 0.5 - 1e-9, 0.9 - 1e-9])]
    text = f"is {low:.4g}" if low == high else f"{low:.4g} to {high:.4g} (median {middle:.4g})"
    return np.abs(below[0] - below[1]).max(), text
