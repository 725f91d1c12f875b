"""What users ask of a fitted regression mixture beside the mean: how sure it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._data.columns import GateColumns, numbers_of
from .._prediction.dispatch import mix_outputs
from .._prediction.distribution import PredictiveDistribution
from .._shared_expert.consensus import seen_by_trees
from .conformal import check_coverage, held_out_scores, score_threshold
from .opinions import Opinions, as_gaussians, mixture_components


class DensityPrediction:
    """Distributions, intervals, quantiles and samples of a fitted regression mixture."""

    gate_: Any
    gate_columns_: GateColumns
    scale_: np.ndarray
    _check_X: Callable
    _density: Any = None  # of models fitted before there was one
    _dispersion: Any
    _encode: Callable
    _gate_proba: Callable
    _likelihood: Any
    _outputs: Callable
    _shared: Any
    _shared_output: Callable

    def predict_distribution(self, X: Any) -> PredictiveDistribution:
        """Predictive distribution of the target of each row.

        It asks all experts, whatever `top_k` is. With ``density="auto"`` its mean is what
        `predict` returns if all experts are asked; with ``density="mixture"`` it is the density
        that EM has learned, in which the shared expert has a weight of its own.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)

        Returns
        -------
        distribution : PredictiveDistribution
        """
        X = self._check_X(X)
        outputs = self._outputs(X)
        gate = self._gate_proba(X)
        shared = self._shared
        shared_output = None
        if shared is not None:  # which may refuse to say anything of no rows
            none = np.empty((0, *self._likelihood.output_shape))
            shared_output = self._shared_output(X, outputs) if len(outputs) else none
        mixture = mixture_components(outputs, gate, self.scale_, shared_output, shared)
        if self._density is None:
            return PredictiveDistribution(*mixture, self._likelihood.noise)
        mixture = as_gaussians(mixture, self._likelihood.noise)
        prediction = mix_outputs(outputs, gate, self._likelihood, self._dispersion)
        if shared is not None:
            prediction = shared.blended(prediction, shared_output)
        numbers = numbers_of(self._density.view, self.gate_columns_.transform(X))
        features = seen_by_trees(numbers, self._density.columns)
        opinions = Opinions(features, prediction, outputs, gate, shared_output)
        components = self._density.components(opinions, mixture)
        return PredictiveDistribution(*components)

    def predict_interval(
        self, X: Any, coverage: Any = 0.9, *, conformal: bool = False
    ) -> np.ndarray:
        """Interval of each row that holds the target with a given probability.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
        coverage : float or array-like of shape (n_levels,), default=0.9
            Probability of the interval; as much is left out above it as below.
        conformal : bool, default=False
            If True, the probability is corrected by how often intervals held the targets of
            held-out rows of training (Vovk et al., 2005); where rows are too few for `coverage`,
            the interval is infinite. For rows like those of training the coverage is then about
            right, but not guaranteed to be: the models of all folds differ from the final one.

        Returns
        -------
        interval : ndarray of shape (n_samples[, n_outputs], 2[, n_levels])
            Lower and upper ends.

        Raises
        ------
        ValueError
            If `coverage` is not between 0 and 1, or if there are no held-out rows to correct by:
            with ``e_step="insample"``, and after an operation on the experts.

        References
        ----------
        Vovk, V., Gammerman, A. and Shafer, G. (2005). Algorithmic Learning in a Random World.
        Springer.
        """
        levels = check_coverage(coverage, several=True)
        distribution = self.predict_distribution(X)
        if not conformal:
            return distribution.interval(levels)
        scores = held_out_scores(self, "conformal intervals")
        if scores.ndim == 1:
            return distribution.interval(_conformal(scores, levels))
        each = [  # output by output, since each has its level
            PredictiveDistribution(
                distribution.weights,
                distribution.means[:, :, output],
                distribution.scales[:, :, output],
                distribution.kind,
            ).interval(_conformal(scores[:, output], levels))
            for output in range(scores.shape[1])
        ]
        return np.stack(each, axis=1)

    def predict_quantiles(self, X: Any, quantiles: Any = (0.05, 0.5, 0.95)) -> np.ndarray:
        """Quantiles of the target of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
        quantiles : float or array-like of shape (n_quantiles,), default=(0.05, 0.5, 0.95)

        Returns
        -------
        quantiles : ndarray of shape (n_samples[, n_outputs], n_quantiles)
            Without the last axis for a single number.
        """
        return self.predict_distribution(X).ppf(quantiles)

    def sample_y(self, X: Any, n_samples: int = 1, random_state: Any = 0) -> np.ndarray:
        """Draw targets for each row, as `GaussianProcessRegressor.sample_y` does.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples_X, n_features)
        n_samples : int, default=1
            Draws for each row.
        random_state : int, RandomState instance or None, default=0

        Returns
        -------
        y : ndarray of shape (n_samples_X[, n_outputs], n_samples)
            Rows are independent of each other; outputs of a row are drawn together.
        """
        return self.predict_distribution(X).rvs(n_samples, random_state)

    def log_density(self, X: Any, y: Any) -> np.ndarray:
        """Log-density ``log p(y | x)`` of each row: that of `predict_distribution`.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Of several outputs, the joint density.

        Returns
        -------
        log_density : ndarray of shape (n_samples,)
        """
        distribution = self.predict_distribution(X)
        y = self._encode(y)
        if len(y) != len(distribution):
            raise ValueError(f"X has {len(distribution)} rows and y has {len(y)}")
        return distribution.joint_logpdf(y)


def _conformal(scores, levels):
    """Levels of central intervals that held-out rows vouch for, shape of `levels`."""
    corrected = [min(score_threshold(scores, level), 1.0) for level in levels.ravel()]
    return np.reshape(corrected, levels.shape)
