"""The shared expert: it answers for every row, beside those that the gate chooses between."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np
from sklearn.frozen import FrozenEstimator

from .._arithmetic.statistics import paired
from .._data.problem import Problem
from .._data.weights import last_step
from .._experts.kinds import of_different_kinds
from .._experts.pool import ExpertPool, HeldOutExperts, refit_together
from .._experts.seeds import seeded
from .._likelihoods import Categorical
from .expert import SharedExpert, mixed_log_density

WEIGHTS = np.linspace(0.0, 1.0, 21)
"""Candidates of the shared expert's weight."""

DISPERSION_ITERATIONS = 100
"""At most so many M-steps of the dispersion of an expert that answers alone."""

MIN_ROWS = 50
"""Held-out rows below which nothing can be said of the worth of a shared expert."""


class Generalist(NamedTuple):
    """An estimator of all rows alike, fitted in folds.

    Attributes
    ----------
    pool : ExpertPool
        Of this one.
    held_out : HeldOutExperts
        What it says.
    """

    pool: ExpertPool
    held_out: HeldOutExperts


class SharedTraining(NamedTuple):
    """What came of training a shared expert.

    Attributes
    ----------
    expert : SharedExpert or None
        None where held-out predictions give it no weight.
    mixed : ndarray of shape (n_samples, ...)
        What the mixture predicts of held-out rows, without the shared expert.
    row_log_likelihood : ndarray of shape (n_samples,)
        Held out, of the whole.
    log_density : ndarray of shape (n_samples,) or None
        Held out, of the shared expert alone.
    held_out : ndarray of shape (n_samples, ...) or None
        What the shared expert says.
    component : ndarray of shape (n_samples, ...) or None
        The same as it enters the prediction: with the floor of a classifier.
    generalist : Generalist or None
        What is left to be fitted on all rows; until then the expert has no model.
    """

    expert: SharedExpert | None
    mixed: np.ndarray
    row_log_likelihood: np.ndarray
    log_density: np.ndarray | None = None
    held_out: np.ndarray | None = None
    component: np.ndarray | None = None
    generalist: Generalist | None = None

    @property
    def prediction(self) -> np.ndarray:
        """What the whole predicts of held-out rows, (n_samples, ...)."""
        if self.expert is None or self.component is None:
            return self.mixed
        return self.expert.blended(self.mixed, self.component)


def shared_kind(
    setting, *, templates, same_template, e_step, top_k, n_samples, several_classes=False
):
    """What kind of shared expert to train.

    ``"auto"`` takes a generalist beside clones of one estimator, and the consensus of estimators
    of which no two are alike. It takes none where there are no held-out predictions to weigh
    it with (in-sample E-step, a frozen expert that may know the rows, very few rows), where one
    expert would be compared with itself, or where `top_k` says that few are to be asked; and no
    consensus of several outputs of classes, since it knows one distribution.

    Parameters
    ----------
    setting : {"auto", "generalist", "consensus"} or None
    templates : tuple of estimators
    same_template : bool
    e_step : str
    top_k : int or None
    n_samples : int
    several_classes : bool, default=False
        Whether there are several outputs of classes.

    Returns
    -------
    kind : {"generalist", "consensus"} or None

    Raises
    ------
    ValueError
        If the kind that was asked for cannot be had.
    """
    if setting == "auto":
        few = len(templates) == 1 or n_samples < MIN_ROWS
        if e_step == "insample" or few or top_k is not None:
            return None
        frozen = any(isinstance(last_step(template), FrozenEstimator) for template in templates)
        if frozen or (not same_template and of_different_kinds(templates)):
            return None if several_classes else "consensus"
        return "generalist" if same_template else None
    if setting is not None and e_step == "insample":
        raise ValueError(
            f"shared_expert={setting!r} is weighed on held-out predictions, which "
            "e_step='insample' does not make; use e_step='crossfit', or shared_expert=None"
        )
    if setting == "generalist" and not same_template:
        raise ValueError(
            "shared_expert='generalist' is one more clone of the estimator in `experts`, which is "
            "a list of several; use shared_expert='consensus', or give one estimator"
        )
    return setting


def train_generalist(template: Any, pool: ExpertPool, rng: np.random.RandomState) -> Generalist:
    """An estimator of all rows alike, and what it says of held-out rows.

    Parameters
    ----------
    template : estimator
        A `FrozenEstimator` is not fitted again.
    pool : ExpertPool
    rng : numpy.random.RandomState

    Returns
    -------
    generalist : Generalist
    """
    problem = pool.problem
    alone = dataclasses.replace(
        pool,
        names=("generalist",),
        templates=(seeded(template, rng, True),),
        seeds=(int(rng.randint(np.iinfo(np.int32).max)),),
    )
    weights = np.tile(problem.sample_weight[:, np.newaxis], (len(problem.folds), 1, 1))
    return Generalist(alone, alone.fit_held_out(weights))


def fitted_on_all_rows(
    pool: ExpertPool, held_out: HeldOutExperts, training: SharedTraining
) -> tuple[list[Any], SharedExpert | None]:
    """The final experts and the shared one; a generalist is fitted while they are.

    Parameters
    ----------
    pool : ExpertPool
    held_out : HeldOutExperts
        Of the experts between which the gate chooses.
    training : SharedTraining

    Returns
    -------
    experts : list of fitted estimators
    shared : SharedExpert or None
    """
    if training.expert is None or training.generalist is None:
        # A generalist that was given no weight is not fitted on all rows: nobody would ask it.
        return pool.refit(held_out), training.expert
    experts, (model,) = refit_together([(pool, held_out), training.generalist])
    return experts, dataclasses.replace(training.expert, model=model)


def weigh(
    model: Any,
    held_out: np.ndarray,
    mixed: np.ndarray,
    row_log_likelihood: np.ndarray,
    problem: Problem,
    weight: float | None = None,
) -> SharedTraining:
    """Weigh a shared expert against the mixture, on rows that neither has seen.

    The weight is the largest one whose loss is at most one standard error above that of the best
    weight (the rule of Breiman et al., 1984, for pruning trees): the burden of proof is with the
    mixture, which can be too sure of itself, above all where rows are few. The loss is that of
    the mixed prediction, and for the density the negative log-likelihood.

    Parameters
    ----------
    model : Consensus or None
        None for a generalist, which is fitted on all rows later.
    held_out, mixed : ndarrays of shape (n_samples, ...)
        Outputs of the shared expert, and predictions of the mixture.
    row_log_likelihood : ndarray of shape (n_samples,)
        Of the mixture.
    problem : Problem
    weight : float, default=None
        That in the prediction, if it was chosen before: see `fit_consensus`.

    Returns
    -------
    training : SharedTraining

    References
    ----------
    Breiman, L., Friedman, J. H., Olshen, R. A. and Stone, C. J. (1984). Classification and
    Regression Trees. Wadsworth, section 3.4.3.
    """
    likelihood, target, weights = problem.likelihood, problem.target, problem.judged_weight
    outputs = held_out[:, np.newaxis]
    dispersion = single_expert_dispersion(problem, outputs)
    component = likelihood.component(held_out, dispersion[0])
    log_density = likelihood.log_density(target, outputs, dispersion)[:, 0]

    def loss(share):
        return likelihood.loss(target, (1.0 - share) * mixed + share * component)

    def surprise(share):
        return -mixed_log_density(row_log_likelihood, log_density, share)

    if weight is None:
        weight, density_weight = (
            _credible_weight(loss, weights),
            _credible_weight(surprise, weights),
        )
    elif isinstance(likelihood, Categorical):  # what is predicted is the density
        density_weight = weight
    else:
        density_weight = _credible_weight(surprise, weights)
    expert = SharedExpert(model, weight, density_weight, dispersion)
    row_log_likelihood = -surprise(expert.density_weight)
    useless = expert.weight == expert.density_weight == 0.0
    return SharedTraining(
        None if useless else expert,
        mixed,
        row_log_likelihood,
        log_density,
        held_out,
        component,
    )


def _credible_weight(loss, sample_weight):
    """Largest candidate at most one standard error worse than the best one."""
    losses = [loss(weight) for weight in WEIGHTS]
    best = int(np.argmin([np.average(each, weights=sample_weight) for each in losses]))
    differences = [paired(each - losses[best], sample_weight) for each in losses[best:]]
    credible = [k for k, (mean, error) in enumerate(differences, best) if mean <= error]
    return float(WEIGHTS[credible[-1]])


def single_expert_dispersion(problem: Problem, outputs: np.ndarray) -> np.ndarray:
    """Dispersions (n_experts, ...) of experts if each had to answer for all rows alone.

    Parameters
    ----------
    problem : Problem
    outputs : ndarray of shape (n_samples, n_experts, ...)
        Held out.

    Returns
    -------
    dispersion : ndarray of shape (n_experts, ...)
    """
    likelihood, n_experts = problem.likelihood, outputs.shape[1]
    weight = np.tile(problem.judged_weight[:, np.newaxis], (1, n_experts))
    dispersion = likelihood.initial_dispersion(n_experts)
    for _ in range(DISPERSION_ITERATIONS):
        previous = dispersion
        dispersion = likelihood.update_dispersion(problem.target, outputs, weight, previous)
        # A scale takes one M-step. A floor may go to 0 slowly, and soon makes no difference.
        if np.allclose(dispersion, previous, rtol=1e-3, atol=1e-5):
            break
    return dispersion
