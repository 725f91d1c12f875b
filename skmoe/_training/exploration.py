"""What EM may do to leave a poor start: learn from something else than the posteriors.

Each M-step learns from the responsibilities of the iterate before. `Exploration` alters these,
and only these: log-likelihoods, and hence the choice of the iterate to keep, are those of the
mixture as it is. Exploration is confined to the first iterations of a run; after these EM goes on
undisturbed from the best iterate, and so does the last step of training. (As measured with
``benchmarks/routing.py``, dropout that never ends costs likelihood, and annealing may melt experts
into one, so that they are best left where they were.)

Random numbers come from a generator of their own for each iteration, so that they depend on
nothing but the seeds and the number of the iteration.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.frozen import FrozenEstimator

from .._arithmetic import e_step
from .._data.folds import Folds
from .._experts.pool import ExpertPool
from .capacity import Capacity
from .settings import TrainingSettings
from .starts import START_CERTAINTY

EXPLORING_ITERATIONS = 20
"""M-steps that learn from altered posteriors; over these the temperature falls to 1."""

DEAD_ROWS = 5.0
"""An expert is dead if it is responsible for less than so many rows..."""

DEAD_PART = 0.1
"""...and for less than this part of an equal share."""


@dataclass(frozen=True)
class Exploration:
    """Annealing, noise, dropout and the re-seeding of dead experts.

    Parameters
    ----------
    folds : Folds
    sample_weight : ndarray of shape (n,)
        0 for a row that has no held-out predictions.
    seeds : tuple of int
        Of the random numbers.
    reseedable : ndarray of shape (K,), dtype bool
        Experts that may be re-seeded; not those that are never fitted.
    expert_dropout : float, default=0.0
        Probability that an expert is masked for a row.
    annealing : float, default=1.0
        Inverse temperature of the first posteriors that an M-step learns from.
    jitter : float, default=0.0
        Standard deviation of normal noise on the logits of the gate.
    capacity : Capacity, default=None
        Altered posteriors respect it like others; dropout comes after it.
    n_exploring : int, default=EXPLORING_ITERATIONS
        M-steps that learn from altered posteriors.
    """

    folds: Folds
    sample_weight: np.ndarray
    seeds: tuple[int, ...]
    reseedable: np.ndarray
    expert_dropout: float = 0.0
    annealing: float = 1.0
    jitter: float = 0.0
    capacity: Capacity | None = None
    n_exploring: int = EXPLORING_ITERATIONS

    def explores(self, iteration):
        """Whether an iteration (from 1) learns from altered posteriors, or a later one will.

        The first learns from a start, which is left as it is.
        """
        asked_for = self.annealing < 1.0 or self.jitter or self.expert_dropout
        return bool(asked_for and self.n_exploring and iteration <= self.n_exploring + 1)

    def inverse_temperature(self, iteration):
        """Of the posteriors that an iteration learns from.

        It rises from `annealing` in the second iteration by the same factor each time, and is 1
        from the first on that explores no more.
        """
        left = self.n_exploring + 2 - max(iteration, 2)
        return float(self.annealing ** (left / self.n_exploring)) if left > 0 else 1.0

    def targets(self, state, history, overlap):
        """What the next M-step learns from.

        Parameters
        ----------
        state : EMState
            The iterate before.
        history : list of Iteration
        overlap : float
            With overlap 1 there is nothing to re-seed: all experts see all rows anyway.

        Returns
        -------
        responsibilities : ndarray of shape (F, n, K)
        reseeded : ndarray of shape (K,), dtype bool
        """
        nobody = np.zeros(len(self.reseedable), dtype=bool)
        if state.gate is None:  # a start is learned from as it is
            return state.responsibilities, nobody
        responsibilities = self._altered(state, len(history) + 1)
        if overlap == 1.0:
            return responsibilities, nobody
        before = np.any([nobody, *(iteration.reseeded for iteration in history)], axis=0)
        dead = dead_experts(state.responsibilities, self.folds, self.sample_weight)
        dead &= self.reseedable & ~before
        if not dead.any():
            return responsibilities, nobody
        # One at a time: the next one is to see what this one leaves.
        expert = int(np.argmax(dead))
        return self._reseeded(responsibilities, state, expert), np.arange(len(nobody)) == expert

    def _altered(self, state, iteration):
        """Posteriors of an iterate, (F, n, K), heated, with noise and masks while EM explores."""
        if not self.explores(iteration):
            return state.responsibilities
        rng = np.random.RandomState([*self.seeds, iteration])
        shape = state.log_density.shape
        factor = self.inverse_temperature(iteration)
        # The same in all folds: what is drawn without looking at the rows tells nothing of them.
        noise = rng.normal(scale=self.jitter, size=shape) if self.jitter else 0.0
        log_gate = factor * (np.stack(list(state.gate.log_proba)) + noise)
        log_density = factor * state.log_density
        if self.capacity is not None:
            log_gate += self.capacity.biases(log_gate, log_density)[:, np.newaxis]
        if self.expert_dropout:
            log_density += dropout_mask(shape, self.expert_dropout, rng)
        return np.stack([e_step(own, log_density)[0] for own in log_gate])

    def _reseeded(self, responsibilities, state, expert):
        """Give an expert the rows that the mixture explains worst, a part 1 / K of the weight.

        In each fold the log-likelihood up to which a row is one of them is found on the rows that
        the fold trains on.
        """
        responsibilities = responsibilities.copy()
        for fold, (rows, _) in enumerate(self.folds.splits):
            rows = rows[self.sample_weight[rows] > 0]
            if not len(rows):  # of none of them anything can be said
                continue
            own = e_step(state.gate.log_proba[fold], state.log_density)[1]
            order = rows[np.argsort(own[rows], kind="stable")]
            part = np.cumsum(self.sample_weight[order]) / self.sample_weight[order].sum()
            worst = own <= own[order[np.searchsorted(part, 1.0 / len(self.reseedable))]]
            worst &= self.sample_weight > 0
            responsibilities[fold, worst] *= 1.0 - START_CERTAINTY
            responsibilities[fold, worst, expert] += START_CERTAINTY
        return responsibilities


def balance_and_exploration(
    settings: TrainingSettings, jitter: float, pool: ExpertPool, fresh: bool
) -> tuple[Capacity | None, Exploration]:
    """The capacity of the experts, if there is one, and how EM explores.

    Parameters
    ----------
    settings : TrainingSettings
    jitter : float
        That the gate asks for.
    pool : ExpertPool
    fresh : bool
        Whether training starts anew: what goes on from a fitted model explores nothing.

    Returns
    -------
    capacity : Capacity or None
    exploration : Exploration
    """
    folds, weight = pool.problem.folds, pool.problem.judged_weight
    capacity = None
    n_experts = len(pool.templates)
    if settings.capacity_factor is not None and settings.capacity_factor < n_experts:
        capacity = Capacity(folds, weight, float(settings.capacity_factor))
    # The last iteration learns from posteriors as they are.
    n_exploring = min(EXPLORING_ITERATIONS, settings.max_iter - 2) if fresh else 0
    exploration = Exploration(
        folds,
        weight,
        pool.seeds,
        reseedable=np.array([not isinstance(each, FrozenEstimator) for each in pool.templates]),
        expert_dropout=settings.expert_dropout,
        annealing=float(settings.annealing),
        jitter=jitter,
        capacity=capacity,
        n_exploring=max(n_exploring, 0),
    )
    return capacity, exploration


def dead_experts(
    responsibilities: np.ndarray, folds: Folds, sample_weight: np.ndarray
) -> np.ndarray:
    """Experts that are responsible for next to nothing in every fold.

    This one thing is decided for all folds together: an expert that had lost its rows in a
    single fold would otherwise become another one there.

    Parameters
    ----------
    responsibilities : ndarray of shape (F, n, K)
    folds : Folds
    sample_weight : ndarray of shape (n,)
        A row of weight 2 is two rows.

    Returns
    -------
    dead : ndarray of shape (K,), dtype bool
    """
    dead = []
    for own, (rows, _) in zip(responsibilities, folds.splits, strict=True):
        weight, n_experts = sample_weight[rows], own.shape[1]
        if weight.any():
            threshold = min(DEAD_ROWS, DEAD_PART * weight.sum() / n_experts)
            dead.append(weight @ own[rows] < threshold)
    return np.all(dead, axis=0) if dead else np.zeros(responsibilities[0].shape[1], dtype=bool)


def dropout_mask(shape, probability, rng):
    """Logarithm of a mask: -inf where an expert is masked; never all experts of a row.

    Parameters
    ----------
    shape : (n, K)
    probability : float
    rng : numpy.random.RandomState

    Returns
    -------
    mask : ndarray of shape (n, K)
    """
    draws = rng.uniform(size=shape)
    masked = draws < probability
    masked[np.arange(shape[0]), draws.argmax(axis=1)] = False  # which one that is, is chance, too
    return np.where(masked, -np.inf, 0.0)
