"""Whether the experts know how sure they may be."""

import numpy as np
from sklearn.base import is_classifier

from ._mixture import check_mixture, check_one_target, check_target, noise_of, row_weights
from ._plotting import PALETTE, add_legend, bare, colour, marker, new_axes

FEWEST_ROWS = 10
"""An expert with fewer rows has no curve: it would be noise."""

NOMINAL = np.linspace(0.05, 0.95, 19)
"""Probabilities at which a regression expert's distribution is compared with the targets."""


class ReliabilityDisplay:
    """What each expert promises for the rows that are routed to it, and what came true.

    Of a classification expert: confidence, the probability of the class that it predicts, against
    the fraction of rows for which that class is right, in bins of about as many rows each. Below
    the diagonal, the expert is overconfident. Of a regression expert: for each probability p,
    the fraction of targets below the p-quantile of its distribution (prediction and scale). A
    curve that is flatter than the diagonal in the middle belongs to a scale that is too small, a
    curve beside the diagonal to a biased prediction.

    Use `from_estimator`; the constructor takes what it computes.

    Parameters
    ----------
    promised, observed : list of ndarray
        The coordinates of each expert's curve; empty for an expert with fewer than 10 rows.
    rows : ndarray of shape (n_experts,)
        Number of rows that are routed to each expert.
    expert_names : sequence of str
    classification : bool

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D
        One per expert; empty for an expert with fewer than 10 rows.
    diagonal_ : matplotlib Line2D

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.datasets import make_piecewise_regression
    >>> from skmoe.inspection import ReliabilityDisplay
    >>> X, y = make_piecewise_regression(300, return_X_y=True, random_state=0)
    >>> moe = MixtureOfExpertsRegressor(Ridge(), n_experts=3, random_state=0).fit(
    ...     X, y
    ... )
    >>> display = ReliabilityDisplay.from_estimator(moe, X, y)
    >>> int(display.rows.sum())
    300
    """

    def __init__(self, *, promised, observed, rows, expert_names, classification):
        self.promised = promised
        self.observed = observed
        self.rows = rows
        self.expert_names = expert_names
        self.classification = classification

    @classmethod
    def from_estimator(cls, model, X, y, *, sample_weight=None, n_bins=5, ax=None):
        """Plot the reliability of the experts of a fitted mixture.

        Parameters
        ----------
        model : MixtureOfExpertsClassifier or MixtureOfExpertsRegressor
            Fitted.
        X : {array-like, sparse matrix, frame} of shape (n_samples, n_features)
            Rows that the mixture was not trained on: on its own, an expert that memorises looks
            better than it is.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Several outputs share the curve of their expert.
        sample_weight : array-like of shape (n_samples,), default=None
            A weight of 2 is the row twice, of 0 the row absent.
        n_bins : int, default=5
            Points of a classification expert's curve, at most: rows of equal confidence share one.
        ax : matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        display : ReliabilityDisplay
        """
        check_mixture(model)
        check_one_target(model, cls.__name__)
        if not isinstance(n_bins, int | np.integer) or n_bins < 1:
            raise ValueError(f"n_bins must be an int of 1 or more, got {n_bins!r}")
        top = model.apply(X)
        outputs = model.predict_experts(X)
        y = check_target(model, y, outputs)
        weights = row_weights(sample_weight, len(top))
        curves = []
        for expert in range(model.n_experts_):
            own = (top == expert) & (weights > 0)
            if is_classifier(model):
                proba = with_floor(outputs[own, expert], model.floor_[expert])
                right = model.classes_[proba.argmax(axis=1)] == y[own]
                curves.append(confidence_curve(proba.max(axis=1), right, weights[own], n_bins))
            else:
                residual = y[own] - outputs[own, expert]
                curves.append(quantile_curve(model, residual, weights[own], expert))
        return cls(
            promised=[promised for promised, _ in curves],
            observed=[observed for _, observed in curves],
            rows=np.bincount(top[weights > 0], minlength=model.n_experts_),
            expert_names=tuple(model.named_experts_),
            classification=is_classifier(model),
        ).plot(ax=ax)

    def plot(self, *, ax=None):
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        display : ReliabilityDisplay
            The same object, with the artists as attributes.
        """
        self.ax_ = ax = new_axes(ax, type(self).__name__, (6.4, 5.2))
        self.figure_ = ax.figure
        (self.diagonal_,) = ax.plot([0, 1], [0, 1], "--", color="0.5", linewidth=1, zorder=0)
        self.lines_ = []
        for expert, (promised, observed) in enumerate(
            zip(self.promised, self.observed, strict=True)
        ):
            few = "" if len(promised) else ": too few"
            label = f"{self.expert_names[expert]} ({self.rows[expert]} rows{few})"
            style = {"color": colour(expert), "marker": marker(expert), "markersize": 5}
            style["linestyle"] = "-" if expert < len(PALETTE) else "--"
            self.lines_ += ax.plot(promised, observed, label=label, **style)
        low = 0.0
        if self.classification:
            low = min(
                [1.0, *(curve.min() for curve in self.promised + self.observed if len(curve))]
            )
            low = max(0.0, np.floor(10 * low - 0.5) / 10)
            ax.set_xlabel("confidence: probability of the predicted class")
            ax.set_ylabel("fraction of rows for which it is right")
        else:
            ax.set_xlabel("probability p")
            ax.set_ylabel("fraction of targets below the expert's p-quantile")
        margin = 0.02 * (1 - low)
        ax.set_xlim(low - margin, 1 + margin)
        ax.set_ylim(low - margin, 1 + margin)
        ax.set_aspect("equal")
        ax.grid(color="0.92")
        bare(ax)
        add_legend(ax, title="rows routed to")
        return self


def with_floor(proba, floor):
    """An expert's class probabilities as the mixture uses them."""
    return (1 - floor) * proba + floor / proba.shape[1]


def confidence_curve(confidence, right, weights, n_bins):
    """Mean confidence and accuracy in bins of about equal weight."""
    if len(confidence) < FEWEST_ROWS:
        return np.empty(0), np.empty(0)
    # Rows of equal confidence share a bin: a tree knows only a few values.
    order = np.argsort(confidence, kind="stable")
    first = np.searchsorted(confidence[order], confidence)
    before = np.append(0, np.cumsum(weights[order]))[first]  # weight of the less confident rows
    bins = before * n_bins // weights.sum()
    of_bin = [bins == number for number in np.unique(bins)]
    return tuple(
        np.array([np.average(values[own], weights=weights[own]) for own in of_bin])
        for values in (confidence, right)
    )


def quantile_curve(model, residual, weights, expert):
    """Nominal probabilities and the fractions of targets below these quantiles."""
    if len(residual) < FEWEST_ROWS:
        return np.empty(0), np.empty(0)
    reached = noise_of(model).cdf(residual / model.scale_[expert])
    below = np.mean(reached.reshape(len(residual), -1, 1) <= NOMINAL, axis=1)
    return NOMINAL, np.average(below, axis=0, weights=weights)
