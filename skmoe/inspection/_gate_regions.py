"""Which expert answers where, in two features."""

from collections import Counter

import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.sparse import issparse
from sklearn.utils import _safe_indexing

from ._mixture import (
    as_numbers,
    check_mixture,
    feature_names,
    gate_columns,
    rows_of,
    warn_if_unheard,
)
from ._plotting import marker, new_axes, rgb

MOST_POINTS = 500
"""Rows that are drawn at most; more would hide the regions."""


class GateRegionsDisplay:
    """Regions of the experts in the plane of two features, the others held at a typical value.

    Use `from_estimator`; the constructor takes what it computes.

    Parameters
    ----------
    first, second : ndarray of shape (resolution,)
        Values of the two features.
    gate_proba : ndarray of shape (resolution, resolution, n_experts)
        Gate probabilities; the first axis is the second feature.
    points : ndarray of shape (n_points, 2)
        Rows of the data.
    top : ndarray of shape (n_points,)
        Their most probable experts, with their own values of the other features.
    feature_names : tuple of two str
    expert_names : sequence of str
    others : bool
        Whether there are other features, which are held.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    surface_ : matplotlib AxesImage
        In the colour of the most probable expert, the paler the less probable it is.
    borders_ : list of matplotlib ContourSet
        Where an expert becomes the most probable one.
    labels_ : list of matplotlib Text
        Names of the experts, in their regions.
    points_ : list of matplotlib PathCollection

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.datasets import make_piecewise_regression
    >>> from skmoe.inspection import GateRegionsDisplay
    >>> X, y = make_piecewise_regression(
    ...     300, n_features=2, return_X_y=True, random_state=0
    ... )
    >>> moe = MixtureOfExpertsRegressor(Ridge(), n_experts=3, random_state=0).fit(
    ...     X, y
    ... )
    >>> display = GateRegionsDisplay.from_estimator(moe, X, (0, 1))
    >>> display.gate_proba.shape
    (150, 150, 3)
    """

    def __init__(
        self, *, first, second, gate_proba, points, top, feature_names, expert_names, others
    ):
        self.first = first
        self.second = second
        self.gate_proba = gate_proba
        self.points = points
        self.top = top
        self.feature_names = feature_names
        self.expert_names = expert_names
        self.others = others

    @classmethod
    def from_estimator(cls, model, X, features=None, *, resolution=150, ax=None):
        """Plot the regions of a fitted mixture.

        Parameters
        ----------
        model : MixtureOfExpertsClassifier or MixtureOfExpertsRegressor
            Fitted.
        X : {array-like, frame} of shape (n_samples, n_features)
            Gives the range of the two features, the typical values of the others (the median, or
            the most frequent one of what is not a number) and the points.
        features : pair of str or int, default=None
            Names or positions of two numeric features. None means the only two that the gate
            sees, if there are just two.
        resolution : int, default=150
            Values per feature.
        ax : matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        display : GateRegionsDisplay
        """
        check_mixture(model)
        if issparse(X):
            raise TypeError(
                "X is sparse; give the array of the rows to show, X[:500].toarray() say"
            )
        X = rows_of(X)
        pair, names = two_features(model, X, features), feature_names(model)
        warn_if_unheard(model, X, "GateRegionsDisplay")
        values = [numeric_column(X, column, names[column]) for column in pair]
        first, second = (axis_of(column, resolution) for column in values)
        across, up = np.meshgrid(first, second)
        grid = with_typical_values(X, dict(zip(pair, (across.ravel(), up.ravel()), strict=True)))
        step = max(1, -(-len(values[0]) // MOST_POINTS))
        shown = np.arange(0, len(values[0]), step)
        return cls(
            first=first,
            second=second,
            gate_proba=model.gate_proba(grid).reshape(resolution, resolution, -1),
            points=np.column_stack(values)[shown],
            top=model.apply(_safe_indexing(X, shown)),
            feature_names=tuple(names[column] for column in pair),
            expert_names=tuple(model.named_experts_),
            others=len(set(gate_columns(model)) - set(pair)) > 0,
        ).plot(ax=ax)

    def plot(self, *, ax=None):
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        display : GateRegionsDisplay
            The same object, with the artists as attributes.
        """
        self.ax_ = ax = new_axes(ax, type(self).__name__, (6.4, 5.6))
        self.figure_ = ax.figure
        experts = range(len(self.expert_names))
        colours = np.array([rgb(expert) for expert in experts])
        # In the colour of the most probable expert, paler than the points and the paler the less
        # sure; blends of two colours would look like those of other experts.
        leader = self.gate_proba.argmax(axis=2)
        sure = self.gate_proba.max(axis=2, keepdims=True)
        mixed = 1.0 - 0.6 * sure**2 * (1.0 - colours[leader])
        corners = (self.first[0], self.first[-1], self.second[0], self.second[-1])
        self.surface_ = ax.imshow(
            mixed.clip(0, 1),
            origin="lower",
            extent=corners,
            aspect="auto",
            interpolation="bilinear",
        )
        self.borders_, self.labels_, self.points_ = [], [], []
        for expert in experts:
            self._draw_expert(expert, leader == expert)
        ax.set_xlim(corners[:2])
        ax.set_ylim(corners[2:])
        ax.set_xlabel(self.feature_names[0])
        ax.set_ylabel(self.feature_names[1])
        held = "background: other features of the gate at their median; points: at their own"
        ax.set_title(held if self.others else "most probable expert", fontsize=10)
        return self

    def _draw_expert(self, expert, region):
        ax = self.ax_
        if region.any() and not region.all():
            lead = self.gate_proba[..., expert] - np.delete(self.gate_proba, expert, axis=2).max(
                axis=2
            )
            self.borders_.append(
                ax.contour(self.first, self.second, lead, [0.0], colors="0.25", linewidths=1.2)
            )
        own = self.points[self.top == expert]
        self.points_.append(
            ax.scatter(
                *own.T,
                s=16,
                marker=marker(expert),
                color=[rgb(expert)],
                edgecolors="0.2",
                linewidths=0.5,
                zorder=2,
            )
        )
        if region.any():
            row, column = middle_of(region)
            self.labels_.append(
                ax.text(
                    self.first[column],
                    self.second[row],
                    self.expert_names[expert],
                    ha="center",
                    va="center",
                    fontweight="bold",
                    bbox={"facecolor": "white", "edgecolor": rgb(expert), "boxstyle": "round"},
                    zorder=3,
                )
            )


def two_features(model, X, features):
    """Positions of two features."""
    if features is None:
        seen = gate_columns(model)
        if len(seen) != 2:
            raise ValueError(
                f"the gate sees {len(seen)} features; give features=, a pair of names or positions"
            )
        return tuple(seen)
    names = feature_names(model)
    unknown = [name for name in features if isinstance(name, str) and name not in names]
    if unknown and not isinstance(features, str):
        raise ValueError(f"features {unknown} are not among {names}")
    known = {name: position for position, name in enumerate(names)}
    known |= {position: position for position in range(-len(names), len(names))}
    pair = [known[name] % len(names) for name in features if name in known]
    if isinstance(features, str) or len(features) != 2 or len(set(pair)) != 2:
        raise ValueError(
            f"features must be a pair of names, or of positions below {len(names)}; "
            f"got {features!r}"
        )
    return tuple(pair)


def numeric_column(X, column, name):
    """One column of an array or frame as float64."""
    values = as_numbers(np.asarray(_safe_indexing(X, column, axis=1)).ravel())
    if values is None:
        raise ValueError(f"the feature {name!r} is not numeric and cannot be an axis")
    return values


def axis_of(values, resolution):
    """Values from the smallest to the largest, and a little beyond."""
    low, high = np.nanmin(values), np.nanmax(values)
    margin = 0.05 * (high - low) or 0.5
    return np.linspace(low - margin, high + margin, resolution)


def with_typical_values(X, given):
    """Rows in the form of X: given columns as they are given, the others at a typical value.

    Parameters
    ----------
    X : array or frame of shape (n_samples, n_features)
    given : dict of int to ndarray of shape (n_rows,)

    Returns
    -------
    rows : array or frame of shape (n_rows, n_features)
    """
    n_rows = len(next(iter(given.values())))
    if not hasattr(X, "columns"):
        rows = np.empty((n_rows, X.shape[1]), dtype=object if X.dtype == object else np.float64)
        for column, values in enumerate(X.T):
            rows[:, column] = given[column] if column in given else typical(values)[0]
        return rows
    columns = {}
    for column, name in enumerate(X.columns):
        value, row = typical(np.asarray(X[name]))
        if column in given:
            columns[name] = given[column]
        elif row is None:
            columns[name] = np.full(n_rows, value)
        else:  # taken from X, so that the type of the column stays what it is
            picked = _safe_indexing(X[name], np.full(n_rows, row))
            columns[name] = getattr(picked, "array", picked)  # without an index of pandas
    return type(X)(columns)


def typical(values):
    """Median of numbers (NaN if all are missing), else the most frequent value and its row."""
    numbers = None if values.dtype.kind == "b" else as_numbers(values)
    if numbers is not None:
        observed = numbers[~np.isnan(numbers)]
        return (np.median(observed) if len(observed) else np.nan), None
    value = Counter(values.tolist()).most_common(1)[0][0]
    return value, values.tolist().index(value)


def middle_of(region):
    """Row and column of the point of a region that is farthest from its border."""
    depth = distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    return np.unravel_index(depth.argmax(), depth.shape)
