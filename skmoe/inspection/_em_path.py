"""The course of EM."""

import numpy as np

from ._mixture import check_mixture, figure_of_training
from ._plotting import PALETTE, add_legend, bare, colour, new_axes


class EMPathDisplay:
    """The course of EM: log-likelihood, or share of each expert, by iteration.

    Use `from_estimator`; the constructor takes what it computes.

    Parameters
    ----------
    log_likelihood : ndarray of shape (n_iter,)
        Mean log-likelihood per row after each iteration.
    expert_mass : ndarray of shape (n_iter, n_experts)
        Mean responsibility of each expert.
    starved : ndarray of bool of shape (n_iter, n_experts)
        Experts that were left as they were because too few rows remained for them.
    final : float
        Log-likelihood of the final model: in regression, with the density that it predicts with,
        which need not be that of EM.
    expert_names : sequence of str
    held_out : bool, default=True
        Whether the log-likelihoods are of rows that the experts had not seen.
    reseeded : ndarray of bool of shape (n_iter, n_experts) or None, default=None
        Experts that had lost their rows and were given others. None means none.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D or PolyCollection
        The path, or one area per expert.
    kept_ : matplotlib Line2D
        Marker of the best iterate, which is the one that is kept.
    final_ : matplotlib Line2D or None
    starved_, reseeded_ : matplotlib PathCollection or None
        Marks of iterations in which that happened; None if it never did.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.datasets import make_piecewise_regression
    >>> from skmoe.inspection import EMPathDisplay
    >>> X, y = make_piecewise_regression(300, return_X_y=True, random_state=0)
    >>> moe = MixtureOfExpertsRegressor(Ridge(), n_experts=3, random_state=0).fit(
    ...     X, y
    ... )
    >>> display = EMPathDisplay.from_estimator(moe)
    >>> len(display.log_likelihood) == moe.n_iter_
    True
    """

    def __init__(
        self,
        *,
        log_likelihood,
        expert_mass,
        starved,
        final,
        expert_names,
        held_out=True,
        reseeded=None,
    ):
        self.log_likelihood = log_likelihood
        self.expert_mass = expert_mass
        self.starved = starved
        self.final = final
        self.expert_names = expert_names
        self.held_out = held_out
        self.reseeded = reseeded

    @classmethod
    def from_estimator(cls, model, *, kind="log_likelihood", ax=None):
        """Plot the course of EM of a fitted mixture.

        Parameters
        ----------
        model : MixtureOfExpertsClassifier or MixtureOfExpertsRegressor
            Fitted.
        kind : {"log_likelihood", "expert_mass"}, default="log_likelihood"
        ax : matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        display : EMPathDisplay
        """
        check_mixture(model)
        history = figure_of_training(model, "history_")
        return cls(
            log_likelihood=history["log_likelihood"],
            expert_mass=history["expert_mass"],
            starved=history["starved"],
            final=model.log_likelihood_,
            expert_names=tuple(model.named_experts_),
            held_out=model.e_step != "insample",
            reseeded=history.get("reseeded"),
        ).plot(kind=kind, ax=ax)

    def plot(self, *, kind="log_likelihood", ax=None):
        """Draw the display.

        Parameters
        ----------
        kind : {"log_likelihood", "expert_mass"}, default="log_likelihood"
        ax : matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        display : EMPathDisplay
            The same object, with the artists as attributes.
        """
        kinds = {"log_likelihood": self._plot_log_likelihood, "expert_mass": self._plot_share}
        if kind not in kinds:
            raise ValueError(f"kind must be one of {sorted(kinds)}, got {kind!r}")
        self.ax_ = new_axes(ax, type(self).__name__, (7, 4.2))
        self.figure_ = self.ax_.figure
        self.final_ = self.starved_ = self.reseeded_ = None
        iterations = np.arange(1, len(self.log_likelihood) + 1)
        kinds[kind](iterations)
        self.ax_.set_xlabel("EM iteration")
        self.ax_.xaxis.get_major_locator().set_params(integer=True)
        bare(self.ax_)
        return self

    def _plot_log_likelihood(self, iterations):
        ax, path = self.ax_, self.log_likelihood
        self.lines_ = ax.plot(iterations, path, "-o", color=colour(0), markersize=3.5)
        best = int(np.argmax(path))
        (self.kept_,) = ax.plot(
            iterations[best],
            path[best],
            "o",
            markersize=10,
            markerfacecolor="none",
            markeredgecolor="black",
            label="best iterate",
        )
        self.final_ = ax.axhline(
            self.final, color=colour(5), linestyle="--", label="final model", zorder=0
        )
        self.starved_ = self._mark(self.starved, "v", "an expert had too few rows")
        self.reseeded_ = self._mark(self.reseeded, "^", "an expert was re-seeded")
        ax.set_ylabel(f"{'held-out' if self.held_out else 'training'} log-likelihood per row")
        ax.grid(axis="y", color="0.92")
        ax.legend(loc="lower right")

    def _mark(self, happened, shape, label):
        """Mark the iterations in which something happened to an expert."""
        if happened is None or not happened.any():
            return None
        at = np.flatnonzero(happened.any(axis=1))
        style = {"marker": shape, "s": 45, "color": colour(5), "zorder": 3}
        return self.ax_.scatter(at + 1, self.log_likelihood[at], label=label, **style)

    def _plot_share(self, iterations):
        ax = self.ax_
        colours = [colour(k) for k in range(len(self.expert_names))]
        # A step of its own for each iteration, so that a single one has an area, too.
        edges = np.append(iterations, iterations[-1] + 1) - 0.5
        stacked = np.vstack([self.expert_mass, self.expert_mass[-1:]]).T
        self.lines_ = ax.stackplot(
            edges,
            stacked,
            colors=colours,
            labels=self.expert_names,
            step="post",
            edgecolor="white",
            linewidth=0.8,
        )
        for area in self.lines_[len(PALETTE) :]:  # their colours have occurred before
            area.set_hatch("///")
        best = int(np.argmax(self.log_likelihood))
        self.kept_ = ax.axvline(
            iterations[best], color="black", linestyle=":", label="best iterate"
        )
        ax.set_xlim(edges[0], edges[-1])
        ax.set_ylim(0, 1)
        ax.set_ylabel("mean responsibility")
        # From top to bottom, as the areas lie.
        add_legend(ax, ax.get_legend_handles_labels()[0][::-1])
