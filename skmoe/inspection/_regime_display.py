"""The regimes of linear experts side by side: where they lie, and what they say there."""

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils import _safe_indexing

from ._equations import equations_of
from ._gate_regions import axis_of
from ._mixture import as_numbers, check_mixture, check_one_target, feature_names, rows_of
from ._plotting import bare, colour, marker, new_axes

MOST_ROWS = 500
"""Rows that partial dependence is the mean over; more make it slow, and hardly smoother."""

MOST_TERMS = 12
"""Coefficients that are drawn; of more, those that differ most."""

RESOLUTION = 60
"""Values of a feature that is a number."""

PALE = 0.35
"""Opacity of a line where next to none of the regime's rows lie."""


class RegimeDisplay:
    """Where regimes lie along a feature, what they say there, and their coefficients.

    Use `from_estimator`; the constructor takes what it computes.

    Parameters
    ----------
    values : ndarray of shape (n_values,)
        Of the feature: numbers, or categories.
    share : ndarray of shape (n_values, n_experts)
        Mean gate probability of each regime if all rows had that value.
    effect : ndarray of shape (n_values, n_experts)
        Mean prediction of each regime's expert for the regime's rows, if they had that value.
    overall : ndarray of shape (n_values,)
        The same of the whole mixture for all rows: partial dependence as it is usual.
    inside : ndarray of shape (n_values, n_experts), dtype bool
        Whether the value is between the 5th and the 95th percentile of the regime's rows (of a
        category: whether there are any).
    terms : tuple of str
    coef, coef_error : ndarray of shape (n_experts, n_terms)
        Change of the outcome with one standard deviation of a number, or with the category, and
        its standard error.
    feature_name, outcome : str
    expert_names : sequence of str

    Attributes
    ----------
    axes_ : ndarray of three matplotlib Axes
    figure_ : matplotlib Figure
    areas_ : list of matplotlib artists
        Shares, one for each expert.
    lines_ : list of matplotlib Line2D
        Effects: for each expert all of it, and where its rows are; and the whole.
    coefficients_ : list of matplotlib ErrorbarContainer

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.datasets import make_piecewise_regression
    >>> from skmoe.inspection import RegimeDisplay
    >>> X, y = make_piecewise_regression(
    ...     300, n_features=2, return_X_y=True, random_state=0
    ... )
    >>> moe = MixtureOfExpertsRegressor(
    ...     Ridge(), n_experts=3, overlap=0.0, shared_expert=None, random_state=0
    ... ).fit(X, y)
    >>> display = RegimeDisplay.from_estimator(moe, X, 0)
    >>> display.coef.shape
    (3, 2)
    """

    def __init__(
        self,
        *,
        values,
        share,
        effect,
        overall,
        inside,
        terms,
        coef,
        coef_error,
        feature_name,
        outcome,
        expert_names,
    ):
        self.values = values
        self.share = share
        self.effect = effect
        self.overall = overall
        self.inside = inside
        self.terms = terms
        self.coef = coef
        self.coef_error = coef_error
        self.feature_name = feature_name
        self.outcome = outcome
        self.expert_names = expert_names

    @classmethod
    def from_estimator(cls, model, X, feature, *, outcome=-1, axes=None):
        """Plot the regimes of a fitted mixture.

        Parameters
        ----------
        model : MixtureOfExpertsClassifier or MixtureOfExpertsRegressor
            Fitted, with linear experts; see `regime_table` for how to fit it to be read.
        X : {array-like, frame} of shape (n_samples, n_features)
            The rows of training, for the standard errors.
        feature : str or int
            Name or position of the feature to show regimes along: a number or a category.
        outcome : int, default=-1
            Position of the output, or in ``classes_`` of the class, to show: the last one.
        axes : sequence of three matplotlib Axes, default=None
            For where regimes lie, what they say, and coefficients. None makes a new figure.

        Returns
        -------
        display : RegimeDisplay

        Raises
        ------
        TypeError
            If an expert is not linear.
        ValueError
            If there is no such feature.
        """
        check_mixture(model)
        check_one_target(model, cls.__name__)
        X = rows_of(X)
        column, names = _position(model, feature), feature_names(model)
        top = model.apply(X)
        terms, coef, error, said = _coefficients(model, X, top, outcome)
        rows = np.arange(0, len(top), -(-len(top) // MOST_ROWS))
        raw = np.asarray(_safe_indexing(X, column, axis=1)).ravel()
        values, inside = _values(raw, top, model.n_experts_)
        share, effect, overall = _dependence(
            model, _safe_indexing(X, rows), column, values, outcome
        )
        return cls(
            values=values,
            share=share,
            effect=effect,
            overall=overall,
            inside=inside,
            terms=terms,
            coef=coef,
            coef_error=error,
            feature_name=names[column],
            outcome=said,
            expert_names=tuple(model.named_experts_),
        ).plot(axes=axes)

    def plot(self, *, axes=None):
        """Draw the display.

        Parameters
        ----------
        axes : sequence of three matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        display : RegimeDisplay
            The same object, with the artists as attributes.
        """
        if axes is None:
            first = new_axes(None, type(self).__name__, (15, 4.6))
            figure = first.figure
            first.remove()
            axes = figure.subplots(1, 3)
        self.axes_ = np.ravel(axes)
        if len(self.axes_) != 3:
            raise ValueError(f"axes must be three Axes; got {len(self.axes_)}")
        self.figure_ = self.axes_[0].figure
        self._draw_share(self.axes_[0])
        self._draw_effect(self.axes_[1])
        self._draw_coefficients(self.axes_[2])
        return self

    @property
    def _is_number(self):
        return self.values.dtype.kind == "f"

    def _places(self, ax):
        """Where values lie on the axis; categories get their names."""
        ax.set_xlabel(self.feature_name)
        if self._is_number:
            return self.values
        places = np.arange(len(self.values))
        many = len(places) > 6
        ax.set_xticks(
            places, self.values, rotation=45 if many else 0, ha="right" if many else "center"
        )
        return places

    def _draw_share(self, ax):
        places, self.areas_ = self._places(ax), []
        below = np.zeros(len(places))
        for expert, name in enumerate(self.expert_names):
            share, style = self.share[:, expert], {"color": colour(expert), "label": name}
            if self._is_number:
                drawn = ax.fill_between(places, below, below + share, lw=0, **style)
            else:
                drawn = ax.bar(places, share, bottom=below, width=0.8, **style)
            self.areas_.append(drawn)
            below = below + share
        ax.set_ylim(0, 1)
        ax.margins(x=0)
        ax.set_ylabel("probability of the regime")
        ax.set_title("where regimes lie", fontsize=10)
        bare(ax)

    def _draw_effect(self, ax):
        places, self.lines_ = self._places(ax), []
        for expert, name in enumerate(self.expert_names):
            style = {
                "color": colour(expert),
                "marker": None if self._is_number else marker(expert),
            }
            whole, own = self.effect[:, expert], self.inside[:, expert]
            self.lines_ += ax.plot(places, whole, ls=":", lw=1.2, alpha=PALE, **style)
            self.lines_ += ax.plot(
                places, np.where(own, whole, np.nan), lw=2.2, label=name, **style
            )
        self.lines_ += ax.plot(
            places, self.overall, color="0.2", lw=1.2, ls="--", label="all rows"
        )
        said = self.outcome.removeprefix("log-odds of ").removeprefix("logit of ")
        ax.set_ylabel(f"mean {said}" if said == self.outcome else f"probability of {said}")
        ax.set_title("what they say; pale: none of their rows", fontsize=10)
        ax.legend(fontsize=9, framealpha=0.9)
        bare(ax)

    def _draw_coefficients(self, ax):
        order = np.argsort(-np.ptp(self.coef, axis=0), kind="stable")[:MOST_TERMS]
        order = np.sort(order)
        spread = 0.7 / len(self.expert_names)
        middle = (len(self.expert_names) - 1) / 2
        self.coefficients_ = [
            ax.errorbar(
                self.coef[expert, order],
                np.arange(len(order)) + spread * (expert - middle),
                xerr=2 * np.nan_to_num(self.coef_error[expert, order]),
                fmt=marker(expert),
                color=colour(expert),
                label=name,
            )
            for expert, name in enumerate(self.expert_names)
        ]
        ax.axvline(0, color="0.6", lw=0.8, zorder=0)
        ax.set_yticks(np.arange(len(order)), [self.terms[term] for term in order])
        ax.invert_yaxis()
        ax.set_xlabel(f"change of {self.outcome} with one standard deviation, or the category")
        ax.set_title("coefficients, ± two standard errors", fontsize=10)
        ax.grid(axis="y", color="0.9")
        bare(ax)


def _position(model, feature):
    """Position of a feature that is given by name or position."""
    names = feature_names(model)
    if isinstance(feature, str):
        if feature not in names:
            raise ValueError(f"feature={feature!r} is not among {names}")
        return names.index(feature)
    if not -len(names) <= feature < len(names):
        raise ValueError(f"feature={feature!r} must be a name, or a position below {len(names)}")
    return feature % len(names)


def _values(raw, top, n_experts):
    """Values (n_values,) to show a feature at, and where the rows of each expert are."""
    numbers = None if raw.dtype.kind == "b" else as_numbers(raw)
    experts = np.arange(n_experts)
    if numbers is None:
        values = np.unique(raw[[value is not None and value == value for value in raw]])
        present = (raw == values[:, np.newaxis])[:, np.newaxis]
        return values, (present & (top == experts[:, np.newaxis])).any(axis=2)
    distinct = np.unique(numbers[~np.isnan(numbers)])
    few = len(distinct) <= RESOLUTION
    values = distinct if few else axis_of(numbers, RESOLUTION)
    inside = np.zeros((len(values), n_experts), dtype=bool)
    for expert in experts:
        own = numbers[(top == expert) & ~np.isnan(numbers)]
        if len(own):
            low, high = np.quantile(own, [0.05, 0.95])
            inside[:, expert] = (low <= values) & (values <= high)
    return values, inside


def _dependence(model, X, column, values, outcome):
    """Shares, effects and the whole at each value; see `RegimeDisplay`."""
    top = model.apply(X)
    own = top == np.arange(model.n_experts_)[:, np.newaxis]
    own[~own.any(axis=1)] = True  # an expert without rows says something all the same
    share, effect, overall = [], [], []
    for value in values:
        rows = _with_value(X, column, value)
        said = _one_outcome(model.predict_experts(rows), outcome)
        share.append(model.gate_proba(rows).mean(axis=0))
        effect.append([said[mine, expert].mean() for expert, mine in enumerate(own)])
        whole = model.predict_proba(rows) if is_classifier(model) else model.predict(rows)
        overall.append((whole[..., outcome] if whole.ndim > 1 else whole).mean())
    return np.array(share), np.array(effect), np.array(overall)


def _one_outcome(said, outcome):
    """Predictions (n, K) of one output, or probabilities of one class."""
    return said[..., outcome] if said.ndim > 2 else said


def _with_value(X, column, value):
    """Rows in the form of X, with one value in a column."""
    if not hasattr(X, "columns"):
        rows = X.copy()
        rows[:, column] = value
        return rows
    columns = {name: X[name] for name in X.columns}
    name = list(columns)[column]
    same = np.flatnonzero(np.asarray(X[name]) == value)
    if len(same):  # taken from X, so that the type of the column stays what it is
        picked = _safe_indexing(X[name], np.full(len(X), same[0]))
        columns[name] = getattr(picked, "array", picked)  # without an index of pandas
    else:
        columns[name] = np.full(len(X), value)
    return type(X)(columns)


def _coefficients(model, X, top, outcome):
    """Terms, coefficients (K, n_terms) and errors by standard deviations, and the outcome."""
    equations = []
    scales = getattr(model, "scale_", np.full(model.n_experts_, np.nan))
    for expert, fitted in enumerate(model.experts_):
        mine = np.flatnonzero(top == expert)
        rows = _safe_indexing(X, mine) if len(mine) else None
        found = equations_of(model, fitted, rows, scales[expert])
        equations.append(found[outcome if len(found) > 1 else 0])  # of two classes there is one
    terms = equations[0].terms
    names = feature_names(model)
    spread = np.ones(len(terms))
    for place, term in enumerate(terms):
        if term in names:
            raw = np.asarray(_safe_indexing(X, names.index(term), axis=1)).ravel()
            values = as_numbers(raw)
            if values is not None and len(np.unique(values[~np.isnan(values)])) > 2:
                spread[place] = np.nanstd(values)
    coef = np.array([each.coef for each in equations]) * spread
    return (
        terms,
        coef,
        np.array([each.coef_error for each in equations]) * spread,
        equations[0].outcome,
    )
