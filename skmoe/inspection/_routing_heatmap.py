"""Gate probabilities of all rows at once."""

import numpy as np

from ._mixture import check_mixture, warn_if_unheard
from ._plotting import new_axes


class RoutingHeatmapDisplay:
    """Gate probabilities of rows, sorted by their top expert.

    Blocks of light colour on the diagonal mean that the gate is sure; what is light beside the
    diagonal are rows that experts share.

    Use `from_estimator`; the constructor takes what it computes.

    Parameters
    ----------
    gate_proba : ndarray of shape (n_samples, n_experts)
    expert_names : sequence of str

    Attributes
    ----------
    order_ : ndarray of shape (n_samples,)
        The row that is shown at each height: by top expert, then from sure to unsure.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    image_ : matplotlib AxesImage
    colorbar_ : matplotlib Colorbar
    separators_ : list of matplotlib Line2D
        Between the rows of one top expert and the next.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.datasets import make_piecewise_regression
    >>> from skmoe.inspection import RoutingHeatmapDisplay
    >>> X, y = make_piecewise_regression(300, return_X_y=True, random_state=0)
    >>> moe = MixtureOfExpertsRegressor(Ridge(), n_experts=3, random_state=0).fit(
    ...     X, y
    ... )
    >>> display = RoutingHeatmapDisplay.from_estimator(moe, X)
    >>> display.image_.get_array().shape
    (300, 3)
    """

    def __init__(self, *, gate_proba, expert_names):
        self.gate_proba = gate_proba
        self.expert_names = expert_names

    @classmethod
    def from_estimator(cls, model, X, *, ax=None):
        """Plot the gate probabilities of some rows.

        Parameters
        ----------
        model : MixtureOfExpertsClassifier or MixtureOfExpertsRegressor
            Fitted.
        X : {array-like, sparse matrix, frame} of shape (n_samples, n_features)
        ax : matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        display : RoutingHeatmapDisplay
        """
        check_mixture(model)
        warn_if_unheard(model, X, "RoutingHeatmapDisplay")
        names = tuple(model.named_experts_)
        return cls(gate_proba=model.gate_proba(X), expert_names=names).plot(ax=ax)

    def plot(self, *, ax=None):
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        display : RoutingHeatmapDisplay
            The same object, with the artists as attributes.
        """
        top = self.gate_proba.argmax(axis=1)
        self.order_ = np.lexsort((-self.gate_proba.max(axis=1), top))
        n_samples, n_experts = self.gate_proba.shape
        self.ax_ = ax = new_axes(ax, type(self).__name__, (2.8 + 0.6 * n_experts, 5))
        self.figure_ = ax.figure
        self.image_ = ax.imshow(
            self.gate_proba[self.order_],
            cmap="cividis",
            vmin=0,
            vmax=1,
            aspect="auto",
            interpolation="nearest",  # what smooths over many rows would smear experts, too
            extent=(-0.5, n_experts - 0.5, n_samples, 0),
        )
        counts = np.bincount(top, minlength=n_experts)
        ends = np.cumsum(counts)
        inner = np.unique(ends[(ends > 0) & (ends < n_samples)])
        self.separators_ = [ax.axhline(end, color="white", linewidth=1.2) for end in inner]
        labels = [
            f"{name}\n{count / n_samples:.0%}"
            for name, count in zip(self.expert_names, counts, strict=True)
        ]
        crowded = n_experts > 6 or max(map(len, self.expert_names)) > 10
        ax.set_xticks(range(n_experts), labels, rotation=90 if crowded else 0)
        ax.set_xlabel("expert, and its share of the rows as top expert")
        ax.set_ylabel("rows, sorted by top expert")
        self.colorbar_ = self.figure_.colorbar(self.image_, ax=ax, label="gate probability")
        return self
