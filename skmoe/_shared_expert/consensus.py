"""The consensus: what all experts say together, corrected where they err together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import issparse
from sklearn.ensemble import ExtraTreesRegressor

from .._arithmetic.statistics import paired
from .._compat import Record
from .._data.columns import NumericView, numbers_of
from .._data.folds import Folds
from .._data.problem import Problem
from .._data.rows import is_finite
from .._likelihoods import Categorical, Likelihood
from .blends import (
    best_blend,
    one_column,
    unless_alike,
)
from .floor import common_dispersion
from .forest import FlatForest, forest_mean
from .opinion_gate import (
    OpinionGate,
    blending_weights,
    fit_opinion_gate,
    mixed,
    opinion_statistics,
)

N_TREES = 50
"""Trees of the correction."""

LEAF_ROWS = 2, 5
"""Rows in a leaf of the correction of few rows, and of many, where small leaves take space."""

ROWS_PER_LEAF_ROW = 1000
"""Of so many more rows, a leaf has one more."""

MOST_COLUMNS = 24
"""Columns at most that the correction compares for a split; all do not help it, but take long."""

MOST_SPARSE_COLUMNS = 100
"""Sparse columns beyond this (words, say) are not seen: few trees would ask for any of them."""

PARTS = ("constant", "blend", "opinions", "features")
"""Ways to weigh experts."""

STRENGTHS = np.linspace(0.0, 1.0, 21)
"""Candidates of the part of the correction that is applied."""


@dataclass(frozen=True, eq=False)
class Consensus(Record):
    """What experts say together: four ways to weigh them, and a forest that corrects the whole.

    Experts may be weighed alike for all rows, so that the mean of their predictions is best; by a
    blend, which is stacked generalisation (Wolpert, 1992); by a gate that sees features, or by one
    that has also heard them all. None of them is best on all data, so they are mixed. A forest is
    trained on what the whole, mixture included, leaves over; it finds regions where all err to the
    same side, which no weighting could mend.

    Attributes
    ----------
    parts : dict of str to float
        How much is said by "constant" weights, the "blend", the gate on features and "opinions"
        and that on "features" alone; sums to 1.
    constant : ndarray of shape (n_experts,)
        The constant weights.
    blend : MeanBlend or ClassBlend
    gate : OpinionGate
        That on features and opinions.
    dispersion : ndarray of shape (n_experts, ...)
        The floors of classifiers.
    likelihood : Likelihood
    correction : fitted ExtraTreesRegressor, or None where it does not help
    strength : float
        Factor of the correction.
    columns : ndarray of intp
        The features that gate and correction see; none if there are many and sparse.
    view : NumericView, default=None
        What turns the gate's columns into features; None where they are numbers already.
    feature_gate : OpinionGate, default=None
        That on features alone; None in models of before there was one.

    References
    ----------
    Wolpert, D. H. (1992). Stacked generalization. Neural Networks, 5(2), 241-259.
    """

    parts: dict[str, float]
    constant: np.ndarray
    blend: Any
    gate: OpinionGate
    dispersion: np.ndarray
    likelihood: Likelihood
    correction: Any
    strength: float
    columns: np.ndarray
    view: NumericView | None = None
    feature_gate: OpinionGate | None = None

    def predict(self, opinions, Z):
        """Predict.

        Parameters
        ----------
        opinions : ndarray of shape (n_samples, n_opinions, ...)
            Outputs of the experts.
        Z : array, sparse matrix or frame of shape (n_samples, n_gate_features)

        Returns
        -------
        output : ndarray of shape (n_samples, ...)
            Means, or class probabilities.
        """
        if len(opinions) == 0:
            return np.empty((0, *opinions.shape[2:]))
        evidence = _evidence(opinions, numbers_of(self.view, Z), self.columns)
        said = self.uncorrected(opinions, evidence)
        if self.correction is None:
            return said
        return self.blend.corrected(said, self.strength * self._correction_of(evidence))

    def _correction_of(self, evidence):
        if len(evidence) == 1 and is_finite(evidence):
            return self._flat_correction.mean(evidence)
        return forest_mean(self.correction, evidence)

    @cached_property
    def _flat_correction(self):
        return FlatForest.of(self.correction)

    def uncorrected(self, opinions, evidence):
        """What is said before the correction, for evidence as `_evidence` makes it."""
        if self.parts is None:  # stored when a consensus was its blend
            return self.blend.predict(opinions)
        components = _components(opinions, self.dispersion, self.likelihood)
        features = _features(opinions, evidence)
        statistics = _statistics(opinions, features, self.likelihood)
        said = {
            "constant": mixed(self.constant[np.newaxis], components),
            "blend": self.blend.predict(opinions),
            "opinions": self.gate.predict(statistics, components),
        }
        if self.feature_gate is not None:
            said["features"] = self.feature_gate.predict(features, components)
        return sum(part * said[name] for name, part in self.parts.items())


class Rows(NamedTuple):
    """What is known of the rows that there are opinions on."""

    target: np.ndarray
    weights: np.ndarray
    folds: Folds
    likelihood: Any


class Opinions(NamedTuple):
    """What is held out of a mixture whose experts are final.

    Attributes
    ----------
    outputs : ndarray of shape (n_samples, n_experts, ...)
    mixed : ndarray of shape (n_samples, ...)
        Predictions of the mixture.
    independent : bool
        Whether no expert has seen any of these rows, so that those of all folds are alike.
    """

    outputs: np.ndarray
    mixed: np.ndarray
    independent: bool


def fit_consensus(
    opinions: Opinions, gate: Any, Z: Any, problem: Problem, seed: int
) -> tuple[Consensus, np.ndarray, float]:
    """Fit a consensus on held-out opinions, and say what it predicts for rows it has not seen.

    The opinions must not be cross-fitted over again as if they were features. An opinion on row
    i comes from a model that has seen row j of another fold; so what is left over of row i has
    learned from the noise of row j, with the opposite sign, and a correction that is trained on
    row i and judged on row j looks harmful where it helps. Rows of one fold, however, got their
    opinions from models that have seen none of them. Hence a row is judged by what is left over
    of rows of its own fold that are with it in the leaves of those trees that did not draw it.
    These are fewer rows than the correction has in its leaves, so that the judgement, free of that
    bias, is of a noisier correction: it errs on the safe side. (It errs a little to the other
    side, too: rows of a fold have in common how their mean differs from that of the rows behind
    the opinions. As measured with 80 rows in a fold, that flatters a correction by a fiftieth of
    the noise variance.) Out-of-bag opinions come from trees that have seen rows of the fold: with
    ``e_step="oob"`` the judgement is biased against the correction. As measured with two forests,
    the loss is 4 % larger than with cross-fitted opinions. A row that is a fold by itself gets no
    correction. If no expert has seen any of the rows, those of all folds are alike.

    The correction has the burden of proof: it is left out unless it lowers the loss by more than
    one standard error.

    All that is learned from is rounded: trees would amplify a difference in the last bit, which is
    there where BLAS has another number of threads, to one of a hundredth of the target's spread.

    Parameters
    ----------
    opinions : Opinions
    gate : unfitted gate
        Its own preprocessing makes what the consensus sees of Z.
    Z : array, sparse matrix or frame of shape (n_samples, n_gate_features)
    problem : Problem
        With the folds that the opinions were made with. Of rows that none of them tests nothing is
        learned.
    seed : int

    Returns
    -------
    consensus : Consensus
        Fitted on all rows that there are opinions on.
    held_out : ndarray of shape (n_samples, ...)
        The mean opinion on a row that no fold tests.
    weight : float
        Of the consensus beside the mixture.
    """
    view, features = NumericView.fit(gate, Z, problem.y)
    columns = columns_to_see(features)
    rows, folds = problem.folds.judged_only()
    likelihood: Any = problem.likelihood
    held_out = opinions.outputs.mean(axis=1)
    outputs, mixture = map(likelihood.rounded, (opinions.outputs[rows], opinions.mixed[rows]))
    target, weights = problem.target[rows], problem.sample_weight[rows]
    evidence = _evidence(outputs, features[rows], columns)
    known = Rows(target, weights, folds, likelihood)
    consensus, bases = _weighed(outputs, evidence, known)
    parts = blending_weights([mixture, *bases], target, weights, likelihood)
    say = float(1.0 - parts[0])
    said = sum(part / say * each for part, each in zip(parts[1:], bases, strict=True))
    consensus = replace(consensus, parts=dict(zip(PARTS, (parts[1:] / say).tolist(), strict=True)))
    # What is left over is that of the whole, and the correction is added by the consensus, which
    # speaks for a part of it only: so it is applied that many times as strongly.
    whole = likelihood.rounded((1.0 - say) * mixture + say * said)
    left_over = consensus.blend.left_over(target, whole)
    forest = _fitted_forest(evidence, left_over, weights, seed, problem.n_jobs)
    mates = folds
    if opinions.independent:
        mates = Folds(((np.empty(0, dtype=np.intp), np.arange(len(rows))),), np.zeros_like(rows))
    correction = _held_out_correction(forest, evidence, left_over, weights, mates)
    candidates = [
        consensus.blend.corrected(said, strength / say * correction) for strength in STRENGTHS
    ]
    losses = [likelihood.loss(target, (1.0 - say) * mixture + say * each) for each in candidates]
    best = _credible_strength(losses, weights)
    held_out[rows] = candidates[best]
    if best > 0:
        strength = float(STRENGTHS[best]) / say
        consensus = replace(consensus, correction=forest, strength=strength)
    return replace(consensus, columns=columns, view=view), held_out, say


def _weighed(outputs, evidence, known):
    """The consensus without a correction, and the held-out predictions of its parts."""
    target, weights, folds, likelihood = known
    dispersion = common_dispersion(outputs, target, weights, likelihood)
    components = _components(outputs, dispersion, likelihood)
    nothing = np.empty((len(target), 0))
    constant, evenly = fit_opinion_gate(nothing, components, *known)
    blend, blended = best_blend(outputs, target, weights, folds, likelihood)
    features = _features(outputs, evidence)
    statistics = _statistics(outputs, features, likelihood)
    gate, gated = fit_opinion_gate(statistics, components, *known)
    feature_gate, by_features = fit_opinion_gate(features, components, *known)
    consensus = Consensus(
        {},
        constant.proba(nothing[:1])[0],
        blend.fit(outputs, target, weights),
        gate,
        dispersion,
        likelihood,
        correction=None,
        strength=0.0,
        columns=np.empty(0, dtype=np.intp),
        feature_gate=feature_gate,
    )
    return consensus, [evenly, blended, gated, by_features]


def _components(outputs, dispersion, likelihood):
    """What each expert would say alone (n, K, ...): its output, with the floor of a classifier."""
    return likelihood.component(outputs, dispersion[:, np.newaxis])


def leaf_rows(n_samples):
    """Rows in a leaf of the correction of `n_samples` rows."""
    return int(np.clip(n_samples // ROWS_PER_LEAF_ROW, *LEAF_ROWS))


def _fitted_forest(evidence, left_over, weights, seed, n_jobs):
    """A forest that has learned what is left over."""
    forest = ExtraTreesRegressor(
        N_TREES,
        min_samples_leaf=leaf_rows(len(evidence)),
        max_features=min(1.0, MOST_COLUMNS / evidence.shape[1]),
        bootstrap=True,
        random_state=seed,
        n_jobs=n_jobs,
    )
    forest.fit(evidence, one_column(left_over), unless_alike(weights))
    return forest.set_params(n_jobs=None)  # threads would add up its trees in any order


def _credible_strength(losses, weights):
    """Position of the best loss; 0, which is no correction, unless it is credibly better."""
    best = int(np.argmin([np.average(each, weights=weights) for each in losses]))
    gain, error = paired(losses[0] - losses[best], weights)
    return best if gain > error else 0


def _held_out_correction(forest, evidence, left_over, sample_weight, folds):
    """What a forest would correct of each row had it seen only the other rows of its fold.

    The trees are those of the forest, less the ones that drew the row; what counts in their leaves
    are the rows of the same fold, the row itself left out. Why: see `fit_consensus`.

    Parameters
    ----------
    forest : ExtraTreesRegressor
        Fitted on bootstrap samples.
    evidence : ndarray of shape (n_samples, n_columns)
    left_over : ndarray of shape (n_samples, n_outputs)
    sample_weight : ndarray of shape (n_samples,)
    folds : Folds
        Of which each row is tested by one.

    Returns
    -------
    correction : ndarray of shape (n_samples, n_outputs)
        0 for a row that has nobody to learn from.
    """
    n_samples = len(left_over)
    # Weights beside weighted values, so that what is summed up is counted, too.
    values = sample_weight[:, np.newaxis] * np.column_stack([left_over, np.ones(n_samples)])
    sums = np.zeros(values.shape)
    evidence = evidence.astype(np.float32)  # as trees have it
    for tree, drawn in zip(forest.estimators_, forest.estimators_samples_, strict=True):
        left_out = np.ones(n_samples, dtype=bool)
        left_out[drawn] = False
        group = tree.apply(evidence, check_input=False) * len(folds) + folds.judge
        own = group[left_out]
        for column, total in zip(values.T, sums.T, strict=True):
            total[left_out] += np.bincount(group, column)[own] - column[left_out]
    weight = sums[:, -1:]
    return np.divide(sums[:, :-1], weight, out=np.zeros(left_over.shape), where=weight > 0)


def columns_to_see(features):
    """Positions of the features that a forest can use."""
    if issparse(features) and features.shape[1] > MOST_SPARSE_COLUMNS:
        return np.empty(0, dtype=np.intp)
    return np.arange(features.shape[1])


def _features(opinions, evidence):
    """Of opinions and features side by side, as `_evidence` has them, the latter."""
    return evidence[:, opinions[0].size :]


def _statistics(opinions, features, likelihood):
    """What the gate on opinions sees: features, and how the experts answer."""
    classifier = isinstance(likelihood, Categorical)
    return np.hstack([features, *opinion_statistics(opinions, classifier)])


def seen_by_trees(features, columns):
    """These features as an array (n_samples, n_columns)."""
    features = features[:, columns]
    return features.toarray() if issparse(features) else features


def _evidence(opinions, features, columns):
    """What the correction sees: opinions and features, side by side."""
    return np.hstack([opinions.reshape(len(opinions), -1), seen_by_trees(features, columns)])
