"""A density around the prediction, learned from what held-out predictions missed by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .._compat import Record
from .._data.columns import NumericView
from .._prediction.distribution import PredictiveDistribution
from .errors import ErrorScale, ErrorShape, ShapeOfRows, fit_scale, fit_shape
from .neighbours import Neighbours
from .opinions import Components, Opinions
from .tilt import tilted

FEWEST_ROWS = 50
"""Held-out rows below which nothing is learned of errors beyond the scales of EM."""

MOST_ROWS = 50_000
"""Rows that errors are learned from at most; they do not get much better known with more."""

MOST_FOLDS = 10
"""Folds that histograms are left out by at most; of more, several make one."""

WIDE = 3.0
"""Scale of the part that bounds the tails, in standard deviations of the error."""

PSEUDO_ROWS = 5.0
"""Rows that each part is given together with the others before the data speak."""

MOST_ITERATIONS = 200
"""Of EM for the weights of the parts."""


class HeldOutRows(NamedTuple):
    """What is known of rows that the mixture was judged by.

    Attributes
    ----------
    opinions : Opinions
        Held out.
    mixture : Components
        The density that EM has learned, held out.
    target, weight : ndarrays of shape (n,)
    judge : ndarray of shape (n,)
        The fold that each row was left out of.
    columns : ndarray of intp
        The numbers that are among the opinions.
    view : NumericView or None
        What makes numbers of the gate's features.
    """

    opinions: Opinions
    mixture: Components
    target: np.ndarray
    weight: np.ndarray
    judge: np.ndarray
    columns: np.ndarray
    view: NumericView | None = None

    def take(self, rows) -> HeldOutRows:
        """The same of some rows."""
        mixture = Components(*(part[rows] for part in self.mixture))
        return self._replace(
            opinions=self.opinions.take(rows),
            mixture=mixture,
            target=self.target[rows],
            weight=self.weight[rows],
            judge=self.judge[rows],
        )


@dataclass(frozen=True, eq=False)
class ResidualDensity(Record):
    """A mixture of Gaussians around the prediction whose mean is the prediction.

    Five parts with constant weights: the shape and the scale of the errors of rows alike; a
    Gaussian with the scale of the row; one with the scale of all rows, and one three times as
    wide, which bounds the tails; and the density that EM has learned, which knows sharp regimes.
    The weights of all components are then tilted, row by row, until their mean is the prediction.

    Attributes
    ----------
    neighbours : Neighbours
    scale : ErrorScale
    shape : ErrorShape
    spread : float
        Standard deviation of all errors.
    parts : ndarray of shape (5,)
        Weights of the parts, in the order above.
    columns : ndarray of intp
        The numbers that are to be among the opinions.
    view : NumericView or None
        What makes numbers of the gate's features.
    """

    neighbours: Neighbours
    scale: ErrorScale
    shape: ErrorShape
    spread: float
    parts: np.ndarray
    columns: np.ndarray
    view: NumericView | None = None

    def components(self, opinions: Opinions, mixture: Components) -> Components:
        """The density of new rows.

        Parameters
        ----------
        opinions : Opinions
        mixture : Components
            The density that EM has learned.

        Returns
        -------
        components : Components
        """
        if len(opinions.prediction) == 0:
            empty = np.empty((0, len(self.shape.bins.mass) + 3 + mixture.weights.shape[1]))
            return Components(empty, empty, empty)
        leaves = self.neighbours.leaves(opinions.evidence())
        scale, shape = self.scale.of(leaves), self.shape.of(leaves)
        around = _around(opinions.prediction, scale, shape, self.spread, self.scale.smallest)
        return _whole(self.parts, around, mixture, opinions.prediction)


def fit_residual_density(rows: HeldOutRows, smallest: float, seed: int, n_jobs=None):
    """Learn a density from held-out rows.

    Parameters
    ----------
    rows : HeldOutRows
        At least 50.
    smallest : float
        Smallest scale of a component, in units of the target.
    seed : int
    n_jobs : int or None

    Returns
    -------
    density : ResidualDensity
    held_out : Components
        Density of the rows, as learned from the others.
    """
    error = rows.target - rows.opinions.prediction
    judge = np.unique(rows.judge % MOST_FOLDS, return_inverse=True)[1]
    weight = rows.weight / rows.weight.mean()
    evidence = rows.opinions.evidence()
    alike = np.all(weight == weight[0])
    neighbours, leaves = Neighbours.fit(
        evidence, error, None if alike else weight, judge, seed, n_jobs
    )
    scale, held_out_scale = fit_scale(leaves, error, weight, judge, smallest)
    shape, held_out_shape = fit_shape(leaves, error / held_out_scale, weight, judge)
    spread = max(float(np.sqrt(np.average(np.square(error), weights=weight))), smallest)
    around = _around(rows.opinions.prediction, held_out_scale, held_out_shape, spread, smallest)
    log_density = np.column_stack(
        [PredictiveDistribution(*part).logpdf(rows.target) for part in (*around, rows.mixture)]
    )
    parts = _weights_of_parts(log_density, weight)
    density = ResidualDensity(neighbours, scale, shape, spread, parts, rows.columns, rows.view)
    return density, _whole(parts, around, rows.mixture, rows.opinions.prediction)


def _around(prediction, scale, shape: ShapeOfRows, spread, smallest):
    """The parts around the prediction, each by itself."""
    centre, own = prediction[:, np.newaxis], scale[:, np.newaxis]
    errors = Components(
        shape.weights,
        centre + own * shape.centres,
        np.maximum(own * shape.widths, smallest),
    )
    certain = np.ones_like(centre)
    scales = (own, spread * certain, WIDE * spread * certain)
    return (errors, *(Components(certain, centre, each) for each in scales))


def _whole(parts, around, mixture, prediction):
    """All parts together, their mean the prediction."""
    together = [
        np.hstack(columns)
        for columns in zip(
            *(
                (part * each.weights, each.means, each.scales)
                for part, each in zip(parts, (*around, mixture), strict=True)
            ),
            strict=True,
        )
    ]
    weights, means, scales = together
    return Components(tilted(weights, means - prediction[:, np.newaxis]), means, scales)


def _weights_of_parts(log_density, weight):
    """Constant weights of parts by EM, from their held-out log-densities (n, n_parts)."""
    n_parts = log_density.shape[1]
    density = np.exp(log_density - log_density.max(axis=1, keepdims=True))
    parts = np.full(n_parts, 1.0 / n_parts)
    for _ in range(MOST_ITERATIONS):
        posterior = density * parts
        posterior /= posterior.sum(axis=1, keepdims=True)
        counts = weight @ posterior + PSEUDO_ROWS / n_parts
        previous, parts = parts, counts / counts.sum()
        if np.abs(parts - previous).max() < 1e-6:
            break
    return parts
