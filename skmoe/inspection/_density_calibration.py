"""Whether a regression mixture is as sure as it may be."""

import numpy as np

from ._density import check_distribution_model, one_output
from ._mixture import row_weights
from ._plotting import add_legend, bare, colour, new_axes

LEVELS = np.linspace(0.05, 0.95, 19)
"""Levels of the intervals whose coverage is drawn."""

KINDS = ("coverage", "pit")


class DensityCalibrationDisplay:
    """Whether predictive distributions keep what they promise.

    ``kind="coverage"``: the fraction of targets within their central interval, against its level.
    Above the diagonal the model is less sure than it may be, below it too sure. ``kind="pit"``: a
    histogram of the probability integral transform, the cdf of each row at its target, which is
    uniform if the distributions are right: a heap in the middle means that they are too wide, two
    at the ends that they are too narrow, a slope that they are biased.

    Use `from_estimator`; the constructor takes what it computes. (`ReliabilityDisplay` shows the
    same of each expert by itself.)

    Parameters
    ----------
    pit : ndarray of shape (n_samples,)
        Cdf of each row at its target.
    weights : ndarray of shape (n_samples,)
    name : str
        Of the curve.
    kind : {"coverage", "pit"}, default="coverage"
    n_bins : int, default=10
        Of the histogram.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    line_ : matplotlib Line2D
        Coverage, or where a uniform histogram would be.
    bars_ : matplotlib BarContainer
        Of ``kind="pit"``.

    References
    ----------
    Gneiting, T., Balabdaoui, F. and Raftery, A. E. (2007). Probabilistic forecasts, calibration
    and sharpness. Journal of the Royal Statistical Society B, 69(2), 243-268.

    Examples
    --------
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.datasets import make_piecewise_regression
    >>> from skmoe.inspection import DensityCalibrationDisplay
    >>> X, y = make_piecewise_regression(400, return_X_y=True, random_state=0)
    >>> moe = MixtureOfExpertsRegressor(n_experts=3, random_state=0).fit(
    ...     X[:300], y[:300]
    ... )
    >>> display = DensityCalibrationDisplay.from_estimator(moe, X[300:], y[300:])
    >>> display.pit.shape
    (100,)
    """

    def __init__(self, *, pit, weights, name, kind="coverage", n_bins=10):
        self.pit = pit
        self.weights = weights
        self.name = name
        self.kind = kind
        self.n_bins = n_bins

    @classmethod
    def from_estimator(
        cls, model, X, y, *, sample_weight=None, kind="coverage", n_bins=10, name=None, ax=None
    ):
        """Plot the calibration of a fitted regression mixture.

        Parameters
        ----------
        model : MixtureOfExpertsRegressor
            Fitted; or anything else with ``predict_distribution``.
        X : {array-like, sparse matrix, frame} of shape (n_samples, n_features)
            Rows that the mixture was not trained on.
        y : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,), default=None
            A weight of 2 is the row twice, of 0 the row absent.
        kind : {"coverage", "pit"}, default="coverage"
        n_bins : int, default=10
            Of the histogram.
        name : str, default=None
            Of the curve; None takes the class of the model.
        ax : matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        display : DensityCalibrationDisplay

        Raises
        ------
        ValueError
            If the model has several outputs, or shapes do not match, or there are no rows.
        """
        check_distribution_model(model)
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {KINDS}, got {kind!r}")
        if not isinstance(n_bins, int | np.integer) or n_bins < 1:
            raise ValueError(f"n_bins must be an int of 1 or more, got {n_bins!r}")
        distribution = one_output(model.predict_distribution(X))
        y = np.asarray(y, dtype=np.float64)
        if len(distribution) == 0 or y.shape != distribution.shape:
            raise ValueError(
                f"X has {len(distribution)} rows and y has the shape {y.shape}; give at least one "
                "row, and one target for each"
            )
        return cls(
            pit=distribution.cdf(y),
            weights=row_weights(sample_weight, len(y)),
            name=type(model).__name__ if name is None else name,
            kind=kind,
            n_bins=n_bins,
        ).plot(ax=ax)

    def plot(self, *, ax=None):
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        display : DensityCalibrationDisplay
            The same object, with the artists as attributes.
        """
        self.ax_ = ax = new_axes(ax, type(self).__name__, (5.6, 4.8))
        self.figure_ = ax.figure
        if self.kind == "pit":
            self._plot_histogram(ax)
        else:
            self._plot_coverage(ax)
        bare(ax)
        add_legend(ax)
        return self

    def _plot_coverage(self, ax):
        within = np.abs(2 * self.pit[:, np.newaxis] - 1) <= LEVELS
        observed = np.average(within, axis=0, weights=self.weights)
        ax.plot([0, 1], [0, 1], "--", color="0.5", linewidth=1, zorder=0)
        style = {"color": colour(0), "marker": "o", "markersize": 4}
        (self.line_,) = ax.plot(LEVELS, observed, label=self.name, **style)
        ax.set_xlabel("level of the central interval")
        ax.set_ylabel("fraction of targets within it")
        ax.set_xlim(-0.02, 1.02)
        ax.set_ylim(-0.02, 1.02)
        ax.grid(color="0.92")

    def _plot_histogram(self, ax):
        edges = np.linspace(0, 1, self.n_bins + 1)
        mass, _ = np.histogram(self.pit, edges, weights=self.weights)
        height = mass / self.weights.sum() * self.n_bins
        width = 1 / self.n_bins
        style = {"width": 0.96 * width, "align": "edge", "color": colour(0), "alpha": 0.7}
        self.bars_ = ax.bar(edges[:-1] + 0.02 * width, height, label=self.name, **style)
        self.line_ = ax.axhline(1, linestyle="--", color="0.5", linewidth=1)
        ax.set_xlabel("cdf of each row at its target")
        ax.set_ylabel("density of rows")
        ax.set_xlim(-0.02, 1.02)
        ax.set_ylim(0, max(1.3 * height.max(), 1.5))
