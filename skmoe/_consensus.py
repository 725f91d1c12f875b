"""The consensus: what all experts say together, corrected where they err together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import nnls
from scipy.sparse import issparse
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.utils import _safe_indexing, check_array

from ._likelihoods import MIN_FLOOR, Categorical
from .gates._base import is_numeric

N_TREES = 50
"""Trees of the correction."""

MIN_LEAF_ROWS = 5
"""Rows in a leaf of the correction: it is after errors that neighbours have in common."""

MOST_COLUMNS = 24
"""Columns at most that the correction compares for a split; all do not help it, but take long."""

STRENGTHS = np.linspace(0.0, 1.0, 21)
"""Candidates of the part of the correction that is applied."""

SMALLEST_OPINION = 1e-3
"""Probabilities below this are read as this, lest one expert that is certain outvote the rest."""

SMALLEST_PART = 0.1
"""Part of a class's blended probability that the correction leaves it at least."""

INVERSE_PENALTIES = (0.03, 0.3)
"""Candidates of the penalty (scikit-learn's ``C``) of pooled log-probabilities.

Weaker ones are left out: 1 was chosen where rows are few, and did harm to new ones.
"""


@dataclass(frozen=True, eq=False)
class Consensus:
    """A blend of the experts' opinions, and a forest that corrects it.

    Stacked generalisation (Wolpert, 1992), and a local correction: the blend weighs experts
    alike for all x. A forest is trained on what it leaves over, and sees features and opinions;
    it finds the regions where all experts err to the same side, which no weighting could mend.

    Attributes
    ----------
    blend : MeanBlend or ClassBlend
    correction : fitted ExtraTreesRegressor, or None where it does not help
    strength : float in [0, 1]
        Part of the correction that is applied.
    columns : ndarray of intp
        The gate features that the correction sees: the numeric ones, none if they are sparse.

    References
    ----------
    Wolpert, D. H. (1992). Stacked generalization. Neural Networks, 5(2), 241-259.
    """

    blend: Any
    correction: Any
    strength: float
    columns: np.ndarray

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
        blended = self.blend.predict(opinions)
        if self.correction is None or len(blended) == 0:
            return blended
        correction = self.correction.predict(_evidence(opinions, Z, self.columns))
        return self.blend.corrected(blended, self.strength * correction.reshape(len(blended), -1))


def fit_consensus(opinions, Z, target, sample_weight, splits, *, likelihood, seed, n_jobs=None):
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
    correction.

    Parameters
    ----------
    opinions : ndarray of shape (n_samples, n_opinions, ...)
        Held out.
    Z : array, sparse matrix or frame of shape (n_samples, n_gate_features)
    target : ndarray
        As the likelihood takes it.
    sample_weight : ndarray of shape (n_samples,)
    splits : tuple of (train, test)
        With which the opinions were made; the test parts are a partition of the rows.
    likelihood : Categorical, Gaussian or Laplace
    seed : int
    n_jobs : int or None

    Returns
    -------
    consensus : Consensus
        Fitted on all rows.
    held_out : ndarray of shape (n_samples, ...)
    """
    blend, blended = _best_blend(opinions, target, sample_weight, splits, likelihood)
    columns = _numeric_columns(Z)
    evidence = _evidence(opinions, Z, columns)
    left_over = blend.left_over(target, blended)
    forest = ExtraTreesRegressor(
        N_TREES,
        min_samples_leaf=MIN_LEAF_ROWS,
        max_features=min(1.0, MOST_COLUMNS / evidence.shape[1]),
        bootstrap=True,
        random_state=seed,
        n_jobs=n_jobs,
    )
    forest.fit(evidence, _one_column(left_over), _unless_alike(sample_weight))
    forest.set_params(n_jobs=None)  # threads would add up its trees in any order
    correction = _judged_correction(forest, evidence, left_over, sample_weight, splits)
    candidates = [blend.corrected(blended, strength * correction) for strength in STRENGTHS]
    losses = [
        np.average(likelihood.loss(target, each), weights=sample_weight) for each in candidates
    ]
    best = int(np.argmin(losses))
    blend = blend.fit(opinions, target, sample_weight)
    correction = forest if best > 0 else None
    return Consensus(blend, correction, float(STRENGTHS[best]), columns), candidates[best]


@dataclass(frozen=True, eq=False)
class MeanBlend:
    """Mean of real opinions with constant weights, none negative, that sum to 1 (Breiman, 1996).

    Attributes
    ----------
    scale : ndarray of shape (n_outputs,)
        In which errors of several outputs are compared.
    weights : ndarray of shape (n_opinions,), or None before `fit`

    References
    ----------
    Breiman, L. (1996). Stacked regressions. Machine Learning, 24(1), 49-64.
    """

    scale: np.ndarray
    weights: Any = None

    def fit(self, opinions, target, sample_weight):
        """A copy with the weights of least squares.

        Weights a that sum to 1 make the blend's error E a, the mean of the opinions' errors E.
        Non-negative least squares with the rows E a = 0 and ``c sum(a) = c`` has a solution in
        the direction of the constrained one: of all multiples s v of a direction v, the best
        has the loss ``c^2 q / (q + c^2)``, which rises with ``q = |E v|^2``, whatever c is.
        """
        n_opinions = opinions.shape[1]
        errors = opinions - target[:, np.newaxis]
        errors = errors.reshape(len(target), n_opinions, -1) / self.scale
        errors = errors * np.sqrt(sample_weight)[:, np.newaxis, np.newaxis]
        small: Any = np.linalg.qr(np.moveaxis(errors, 1, 2).reshape(-1, n_opinions), mode="r")
        size = np.linalg.norm(small) or 1.0
        rows = np.vstack([small / size, np.ones(n_opinions)])
        weights, _ = nnls(rows, np.append(np.zeros(len(small)), 1.0))
        return replace(self, weights=weights / weights.sum())

    def predict(self, opinions):
        """Blend opinions (n, n_opinions, ...) to predictions (n, ...)."""
        return np.einsum("k,ik...->i...", self.weights, opinions)

    def left_over(self, target, blended):
        """What the correction has to learn, (n, n_columns)."""
        return (target - blended).reshape(len(target), -1)

    def corrected(self, blended, correction):
        """The blend with a correction (n, n_columns)."""
        return blended + correction.reshape(blended.shape)


@dataclass(frozen=True, eq=False)
class ClassBlend:
    """Logistic regression on the logarithms of the experts' probabilities.

    A product of powers of the opinions, so that experts that know different things add up what
    they know, and one that is too sure of itself is tempered.

    Attributes
    ----------
    likelihood : Categorical
    inverse_penalty : float
    model : fitted classifier, or None before `fit`
    """

    likelihood: Any
    inverse_penalty: float
    model: Any = None

    def fit(self, opinions, target, sample_weight):
        """A copy with the regression fitted to class codes."""
        model = LogisticRegression(C=self.inverse_penalty, max_iter=1000)
        if np.all(target == target[0]):  # the other classes are in one fold
            model = DummyClassifier()
        classes = self.likelihood.classes
        model.fit(self.seen(opinions), classes[target], _unless_alike(sample_weight))
        return replace(self, model=model)

    def seen(self, opinions):
        """Features of the regression, (n, n_features)."""
        logs = np.log(np.maximum(opinions, SMALLEST_OPINION))
        return _without_redundancy(logs - logs.mean(axis=2, keepdims=True))

    def predict(self, opinions):
        """Class probabilities (n, C) for opinions (n, n_opinions, C)."""
        if len(opinions) == 0:
            return np.empty((0, opinions.shape[2]))
        proba = self.likelihood.align(self.model, self.model.predict_proba(self.seen(opinions)))
        return self.likelihood.component(proba, MIN_FLOOR)

    def left_over(self, target, blended):
        """What the correction has to learn: the gradient of the log-loss by the logits."""
        return _without_redundancy((np.eye(blended.shape[1])[target] - blended)[:, np.newaxis])

    def corrected(self, blended, correction):
        """Corrected probabilities; no class loses all that it had."""
        if correction.shape[1] == 1:  # what one class of two gains the other loses
            correction = np.hstack([-correction, correction])
        proba = np.maximum(blended + correction, SMALLEST_PART * blended)
        return proba / proba.sum(axis=1, keepdims=True)


@dataclass(frozen=True, eq=False)
class LinearClassBlend(ClassBlend):
    """Logistic regression on the probabilities themselves, as in `StackingClassifier`."""

    def seen(self, opinions):
        """Features of the regression, (n, n_features)."""
        return _without_redundancy(opinions)


def _without_redundancy(opinions):
    """Opinions (n, n_opinions, C) as columns; of two classes, one says what the other does."""
    if opinions.shape[2] == 2:
        opinions = opinions[:, :, 1:]
    return opinions.reshape(len(opinions), -1)


def _best_blend(opinions, target, sample_weight, splits, likelihood):
    """The blend that suits best, and what it predicts for held-out rows."""
    candidates: list[Any]
    if isinstance(likelihood, Categorical):
        candidates = [ClassBlend(likelihood, penalty) for penalty in INVERSE_PENALTIES]
        candidates.append(LinearClassBlend(likelihood, 1.0))
    else:
        candidates = [MeanBlend(likelihood.min_scale)]
    smallest, best = np.inf, (candidates[0], np.empty(0))
    for blend in candidates:
        held_out = np.empty((len(target), *likelihood.output_shape))
        for train, test in splits:
            fitted = blend.fit(opinions[train], target[train], sample_weight[train])
            held_out[test] = fitted.predict(opinions[test])
        loss = np.average(likelihood.loss(target, held_out), weights=sample_weight)
        if loss < smallest:
            smallest, best = loss, (blend, held_out)
    return best


def _judged_correction(forest, evidence, left_over, sample_weight, splits):
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
    splits : tuple of (train, test)

    Returns
    -------
    correction : ndarray of shape (n_samples, n_outputs)
        0 for a row that has nobody to learn from.
    """
    n_samples, n_folds = len(left_over), len(splits)
    fold = np.empty(n_samples, dtype=np.intp)
    for own, (_, test) in enumerate(splits):
        fold[test] = own
    # Weights beside weighted values, so that what is summed up is counted, too.
    values = sample_weight[:, np.newaxis] * np.column_stack([left_over, np.ones(n_samples)])
    sums = np.zeros(values.shape)
    evidence = evidence.astype(np.float32)  # as trees have it
    for tree, drawn in zip(forest.estimators_, forest.estimators_samples_, strict=True):
        left_out = np.ones(n_samples, dtype=bool)
        left_out[drawn] = False
        group = tree.apply(evidence, check_input=False) * n_folds + fold
        own = group[left_out]
        for column, total in zip(values.T, sums.T, strict=True):
            total[left_out] += np.bincount(group, column)[own] - column[left_out]
    weight = sums[:, -1:]
    return np.divide(sums[:, :-1], weight, out=np.zeros(left_over.shape), where=weight > 0)


def _unless_alike(weight):
    """Weights, or None if they are all the same: estimators are then faster."""
    return None if np.all(weight == weight[0]) else weight


def _one_column(values):
    """Targets as forests want them: a single output is a vector."""
    return values[:, 0] if values.shape[1] == 1 else values


def _numeric_columns(Z):
    """Positions of the columns that a forest can take as they are."""
    if issparse(Z):
        return np.empty(0, dtype=np.intp)
    dtypes = list(Z.dtypes) if hasattr(Z, "dtypes") else [np.asarray(Z).dtype] * np.shape(Z)[1]
    return np.flatnonzero([is_numeric(dtype) for dtype in dtypes])


def _evidence(opinions, Z, columns):
    """What the correction sees: opinions and numeric features, side by side."""
    parts = [opinions.reshape(len(opinions), -1)]
    if len(columns):
        features = _safe_indexing(Z, columns, axis=1)
        parts.append(check_array(features, dtype=np.float64, ensure_all_finite="allow-nan"))
    return np.hstack(parts)
