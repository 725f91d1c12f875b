"""How training rows and new rows are spread over the experts."""

import numpy as np

from ._mixture import check_mixture, figure_of_training
from ._plotting import bare, colour, new_axes


class UtilizationDisplay:
    """Bars of what each expert has to do, in training and on new rows.

    Use `from_estimator`; the constructor takes what it computes.

    Parameters
    ----------
    training : Utilization
        Of the training rows.
    new : Utilization or None, default=None
        Of other rows.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    bars_ : list of matplotlib BarContainer
        One for the training rows, and one for new rows if there are any.
    balanced_ : matplotlib Line2D
        Where all bars would end if the experts had equal shares.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.datasets import make_piecewise_regression
    >>> from skmoe.inspection import UtilizationDisplay
    >>> X, y = make_piecewise_regression(300, return_X_y=True, random_state=0)
    >>> moe = MixtureOfExpertsRegressor(Ridge(), n_experts=3, random_state=0).fit(
    ...     X, y
    ... )
    >>> display = UtilizationDisplay.from_estimator(moe, X[:50])
    >>> len(display.bars_)
    2
    """

    def __init__(self, *, training, new=None):
        self.training = training
        self.new = new

    @classmethod
    def from_estimator(cls, model, X=None, *, quantity="mass", ax=None):
        """Plot the utilization of a fitted mixture.

        Parameters
        ----------
        model : MixtureOfExpertsClassifier or MixtureOfExpertsRegressor
            Fitted.
        X : {array-like, sparse matrix, frame} of shape (n_samples, n_features), default=None
            New rows; None shows the training rows alone.
        quantity : {"mass", "top"}, default="mass"
            Mean gate probability, with the part of a shared expert taken off and shown as a bar
            of its own; or fraction of rows of which the expert is the most probable.
        ax : matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        display : UtilizationDisplay
        """
        check_mixture(model)
        new = None if X is None else model.utilization(X)
        training = figure_of_training(model, "utilization_")
        return cls(training=training, new=new).plot(quantity=quantity, ax=ax)

    def plot(self, *, quantity="mass", ax=None):
        """Draw the display.

        Parameters
        ----------
        quantity : {"mass", "top"}, default="mass"
        ax : matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        display : UtilizationDisplay
            The same object, with the artists as attributes.
        """
        titles = {
            "mass": "mean weight in the mixture",
            "top": "fraction of rows with this top expert",
        }
        if quantity not in titles:
            raise ValueError(f"quantity must be one of {sorted(titles)}, got {quantity!r}")
        names = list(self.training.names)
        shown = [("training", self.training, 1.0 if self.new is None else 0.45)]
        if self.new is not None:
            shown.append(("new rows", self.new, 1.0))
        shared = [utilization.shared_weight for _, utilization, _ in shown]
        with_shared = quantity == "mass" and any(shared)
        if with_shared:
            names.append("(shared part)")
        balance = "gate_mass" if quantity == "mass" else "top"
        height = 0.8 / len(shown)
        self.ax_ = ax = new_axes(ax, type(self).__name__, (7, 1.6 + 0.45 * len(names)))
        self.figure_ = ax.figure
        positions, self.bars_ = np.arange(len(names)), []
        colours = [*map(colour, range(len(self.training.names))), "0.3"][: len(names)]
        for number, (label, utilization, strength) in enumerate(shown):
            values, spread = getattr(utilization, quantity), getattr(utilization, balance)
            if with_shared:
                values = np.append(values, utilization.shared_weight)
            bars = ax.barh(
                positions + (number - (len(shown) - 1) / 2) * height,
                values,
                0.92 * height,
                color=colours,  # of the experts
                alpha=strength,
                label=f"{label} (coefficient of variation {variation(spread):.2f})",
            )
            size = 8 if len(names) <= 12 else 6
            # The background keeps the line of equal shares from crossing a number.
            background = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
            ax.bar_label(bars, fmt="%.2f", padding=3, fontsize=size, bbox=background)
            self.bars_.append(bars)
        self.balanced_ = ax.axvline(
            (1 - with_shared * shared[0]) / len(self.training.names),
            color="0.35",
            linestyle="--",
            linewidth=1,
            label="equal shares",
        )
        ax.set_yticks(positions, names)
        ax.invert_yaxis()
        ax.margins(x=0.12)
        ax.set_xlabel(titles[quantity])
        legend = ax.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=1, frameon=False)
        for patch in legend.get_patches():  # a colour is an expert, and a strength is the rows
            patch.set_facecolor("0.3")
        bare(ax)
        return self


def variation(values):
    """Standard deviation over mean: 0 if the experts have equal shares."""
    return float(np.std(values) / np.mean(values))
