"""What a regression mixture knows of its targets, drawn: a fan over a feature, or single rows."""

import numpy as np
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_is_fitted

from ._mixture import as_numbers, feature_names
from ._plotting import add_legend, bare, colour, new_axes, rgb

BANDS = (0.5, 0.8, 0.95)
"""Central probabilities of the bands of a fan."""

GRID_POINTS = 100
"""Values of the feature in a fan."""

DENSITY_POINTS = 400
"""Values of the target at which densities are drawn."""

MOST_ROWS = 8
"""Rows whose densities can be told apart in one picture."""

OUTERMOST = 0.005
"""Probability on either side of what is drawn of a density."""


class DensityDisplay:
    """The predictive distribution as a picture.

    With a feature: the median and central bands of 50, 80 and 95 % while that feature varies and
    the others keep the values of one row. Without: the densities of single rows.

    Use `from_estimator`; the constructor takes what it computes.

    Parameters
    ----------
    grid : ndarray of shape (n_points,)
        Values of the feature; or None for densities of single rows.
    values : ndarray of shape (n_points, 7), or list of pairs of ndarray
        Quantiles at the points of the grid, in rising order; or target and density of each row.
    names : list of str
        The feature's name; or the names of the rows.
    points : tuple of two ndarrays of shape (n_samples,), or None
        Values of the feature and targets that are drawn into a fan.
    marks : ndarray of shape (n_rows,), or None
        Targets that are marked beside the densities of single rows.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D
        The median, or the densities.
    bands_ : list of matplotlib collections
        From the widest to the narrowest; empty for single rows.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.datasets import make_piecewise_regression
    >>> from skmoe.inspection import DensityDisplay
    >>> X, y = make_piecewise_regression(300, return_X_y=True, random_state=0)
    >>> moe = MixtureOfExpertsRegressor(n_experts=3, random_state=0).fit(X, y)
    >>> fan = DensityDisplay.from_estimator(moe, X, feature=0)
    >>> fan.values.shape
    (100, 7)
    """

    def __init__(self, *, grid, values, names, points=None, marks=None):
        self.grid = grid
        self.values = values
        self.names = names
        self.points = points
        self.marks = marks

    @classmethod
    def from_estimator(cls, model, X, y=None, *, feature=None, row=0, ax=None):
        """Plot predictive distributions of a fitted regression mixture.

        Parameters
        ----------
        model : MixtureOfExpertsRegressor
            Fitted; or anything else with ``predict_distribution``.
        X : {array-like, frame} of shape (n_samples, n_features)
            The rows whose densities are drawn, eight at most; or with `feature`, rows over
            whose range it varies.
        y : array-like of shape (n_samples,), default=None
            Targets, drawn as points into a fan, or as marks beside densities.
        feature : int or str, default=None
            A numeric column of X for a fan.
        row : int, default=0
            The row of X whose other features a fan keeps.
        ax : matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        display : DensityDisplay

        Raises
        ------
        ValueError
            If the model has several outputs, if the feature is none of X or not numeric, or if
            there are no rows, or for single rows more than eight.
        """
        check_distribution_model(model)
        X = X if hasattr(X, "shape") else np.asarray(X)
        y = None if y is None else np.asarray(y, dtype=np.float64)
        if X.shape[0] == 0:
            raise ValueError("X has no rows; give at least one")
        if y is not None and y.shape != (X.shape[0],):
            raise ValueError(f"y has the shape {y.shape} for {X.shape[0]} rows of one output")
        if feature is None:
            return cls(**_single_rows(model, X, y)).plot(ax=ax)
        return cls(**_fan(model, X, y, feature, row)).plot(ax=ax)

    def plot(self, *, ax=None):
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        display : DensityDisplay
            The same object, with the artists as attributes.
        """
        self.ax_ = ax = new_axes(ax, type(self).__name__, (6.8, 4.6))
        self.figure_ = ax.figure
        self.lines_, self.bands_ = [], []
        if self.grid is None:
            self._plot_rows(ax)
        else:
            self._plot_fan(ax)
        bare(ax)
        return self

    def _plot_fan(self, ax):
        for inner, probability in zip(reversed(range(3)), reversed(BANDS), strict=True):
            lower, upper = self.values[:, 2 - inner], self.values[:, 4 + inner]
            label = f"{probability:.0%}"
            shade = 1 - np.array([0.55, 0.35, 0.18])[inner] * (1 - rgb(0))
            style = {"color": shade, "linewidth": 0, "zorder": 2 - 0.1 * inner}
            self.bands_.append(ax.fill_between(self.grid, lower, upper, label=label, **style))
        style = {"color": colour(0), "zorder": 3}
        self.lines_ += ax.plot(self.grid, self.values[:, 3], label="median", **style)
        if self.points is not None:
            style = {"color": "0.2", "s": 8, "alpha": 0.5, "linewidths": 0, "zorder": 4}
            ax.scatter(*self.points, label="targets", **style)
        ax.set_xlabel(self.names[0])
        ax.set_ylabel("target")
        add_legend(ax, loc="best")

    def _plot_rows(self, ax):
        for position, (target, density) in enumerate(self.values):
            own = colour(position)
            self.lines_ += ax.plot(target, density, color=own, label=self.names[position])
            ax.fill_between(target, density, color=own, alpha=0.1, linewidth=0)
            if self.marks is not None:
                height = np.interp(self.marks[position], target, density, left=0.0, right=0.0)
                ax.plot([self.marks[position]] * 2, [0, height], ":", color=own)
                ax.plot(self.marks[position], 0, "^", color=own, clip_on=False, zorder=3)
        ax.set_xlabel("target" if self.marks is None else "target (the observed one marked)")
        ax.set_ylabel("density")
        ax.set_ylim(bottom=0)
        add_legend(ax, loc="best")


def check_distribution_model(model):
    """Raise unless the model is fitted and has predictive distributions of one output."""
    if not hasattr(model, "predict_distribution"):
        raise TypeError(
            f"expected a MixtureOfExpertsRegressor, got {type(model).__name__}, which has no "
            "predict_distribution; of a Pipeline, give its last step and the X that it sees"
        )
    check_is_fitted(model)


def one_output(distribution):
    """The distribution, if it is of one output."""
    if len(distribution.shape) > 1:
        raise ValueError(
            f"this model has {distribution.shape[1]} outputs; the picture is of one target"
        )
    return distribution


def _single_rows(model, X, y):
    if X.shape[0] > MOST_ROWS:
        raise ValueError(
            f"X has {X.shape[0]} rows, of which no more than {MOST_ROWS} densities can be told "
            "apart; give fewer rows, or a feature for a fan"
        )
    distribution = one_output(model.predict_distribution(X))
    curves = []
    for row, (lower, upper) in enumerate(distribution.ppf([OUTERMOST, 1 - OUTERMOST])):
        target = np.linspace(lower, upper, DENSITY_POINTS)
        curves.append((target, distribution[row].pdf(target[np.newaxis])[0]))
    labels = X.index if hasattr(X, "iloc") else range(X.shape[0])
    return {
        "grid": None,
        "values": curves,
        "names": [f"row {label}" for label in labels],
        "marks": y,
    }


def _fan(model, X, y, feature, row):
    names = feature_names(model)
    column = names.index(feature) if feature in names else feature
    if not isinstance(column, int | np.integer) or not 0 <= column < len(names):
        raise ValueError(f"feature={feature!r} is no column of X, which has {names}")
    values = as_numbers(np.asarray(_safe_indexing(X, int(column), axis=1)))
    if values is None or not np.isfinite(values).any():
        raise ValueError(f"feature={feature!r} holds no numbers, over which a fan could be drawn")
    finite = values[np.isfinite(values)]
    grid = np.linspace(finite.min(), finite.max(), GRID_POINTS)
    rows = _safe_indexing(X, np.full(GRID_POINTS, range(X.shape[0])[row]), axis=0)
    if hasattr(rows, "iloc"):
        rows = rows.copy()
        rows[rows.columns[column]] = grid
    else:
        rows = np.array(rows, dtype=np.result_type(rows.dtype, np.float64))
        rows[:, column] = grid
    tails = [(1 - band) / 2 for band in BANDS]
    levels = [*sorted(tails), 0.5, *sorted(1 - tail for tail in tails)]
    return {
        "grid": grid,
        "values": one_output(model.predict_distribution(rows)).ppf(levels),
        "names": [names[column]],
        "points": None if y is None else (values, y),
    }
