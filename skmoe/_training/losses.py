"""What was chosen, and what it is worth in the loss that users go by."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .._arithmetic.statistics import paired
from .._compat import Record
from .._data.problem import Problem
from .._shared_expert.training import SharedTraining

WHOLE = "whole"
"""The prediction that users get, beside those that it is made of or could have been."""


@dataclass(frozen=True, eq=False)
class HeldOutLosses(Record):
    """Loss of the whole, of its parts, and of its best expert, on rows that no part has seen.

    Each dictionary has the keys "whole", "mixture" (the experts as the gate weighs them),
    "shared" (the shared expert alone, if one was trained) and "best expert". How much of the
    whole is whose was chosen on these rows, so that they flatter it a little, the more the fewer
    they are.

    Attributes
    ----------
    metric : {"RMSE", "MAE", "log-loss"}
        Of means with Gaussian or Laplace noise, in units of y (the mean over several outputs), or
        of class probabilities.
    loss, loss_se : dict of str to float
        The loss, and its standard error.
    gain, gain_se : dict of str to float
        By how much the loss of the whole is smaller, and the standard error of that: the
        difference of two losses on the same rows is much more certain than the losses.
    best_expert : str
        The expert that has the smallest loss if it answers alone.
    say : dict of str to float
        How much of the prediction is whose; sums to 1. The "mixture" and the "generalist"; or, in
        place of the latter, what makes up a consensus: "constant" weights, the "blend" and the
        gate on "opinions".
    correction : float
        Factor of the local correction of a consensus in the whole; 0 if there is none.
    """

    metric: str
    loss: dict[str, float]
    loss_se: dict[str, float]
    gain: dict[str, float]
    gain_se: dict[str, float]
    best_expert: str
    say: dict[str, float]
    correction: float = 0.0

    def renamed(self, names: dict[str, str]) -> HeldOutLosses:
        """The same with other names of experts."""
        return replace(self, best_expert=names.get(self.best_expert, self.best_expert))

    def __repr__(self) -> str:
        lines = [f"{self.metric + ' of':16}{'loss':>11}{'±':>10}{'gain of whole':>15}{'±':>10}"]
        for name, loss in self.loss.items():
            line = f"{name:16}{loss:11.4g}{self.loss_se[name]:10.2g}"
            if name in self.gain:
                line += f"{self.gain[name]:15.4g}{self.gain_se[name]:10.2g}"
            lines.append(line)
        lines[-1] += f"  {self.best_expert}"
        lines.append("says: " + ", ".join(f"{name} {part:.0%}" for name, part in self.say.items()))
        if self.correction:
            lines.append(f"local correction: {self.correction:.0%}")
        return "\n".join(lines)


def measure_losses(
    problem: Problem, shared: SharedTraining, outputs: np.ndarray, dispersion: np.ndarray, names
) -> HeldOutLosses:
    """Compare held-out predictions in the loss of the likelihood.

    Parameters
    ----------
    problem : Problem
    shared : SharedTraining
        With the predictions of the mixture and of the whole.
    outputs : ndarray of shape (n_samples, n_experts, ...)
        Of the experts, held out.
    dispersion : ndarray of shape (n_experts, ...)
        Of each expert if it answered alone.
    names : sequence of str
        Of the experts.

    Returns
    -------
    losses : HeldOutLosses
    """
    likelihood: Any = problem.likelihood
    weight = problem.judged_weight

    def figure(prediction):
        return _loss_and_shares(likelihood, problem.target, prediction, weight)

    alone = [figure(likelihood.component(outputs[:, k], own)) for k, own in enumerate(dispersion)]
    best = int(np.argmin([loss for loss, _ in alone]))
    figures = {WHOLE: figure(shared.prediction), "mixture": figure(shared.mixed)}
    if shared.component is not None:
        figures["shared"] = figure(shared.component)
    figures["best expert"] = alone[best]
    whole, shares = figures[WHOLE]
    others = {name: own for name, own in figures.items() if name != WHOLE}
    return HeldOutLosses(
        likelihood.metric,
        {name: loss for name, (loss, _) in figures.items()},
        {name: paired(own, weight)[1] for name, (_, own) in figures.items()},
        {name: loss - whole for name, (loss, _) in others.items()},
        {name: paired(own - shares, weight)[1] for name, (_, own) in others.items()},
        names[best],
        *_who_says_how_much(shared.expert),
    )


def _loss_and_shares(likelihood, target, prediction, weight):
    """The loss, and to first order what each row (n,) has in its deviation from the truth.

    A root of a mean m deviates by ``(mean - m) / (2 sqrt(m))``: the delta method.
    """
    losses = likelihood.reported_losses(target, prediction)
    mean = np.average(losses, axis=0, weights=weight)
    if likelihood.metric != "RMSE":
        return float(mean.mean()), losses.mean(axis=1)
    root = np.sqrt(mean)
    slope = np.divide(0.5, root, out=np.zeros_like(root), where=root > 0)
    return float(root.mean()), ((losses - mean) * slope).mean(axis=1)


def _who_says_how_much(shared):
    """How much of the prediction is whose, and the factor of the correction."""
    if shared is None:
        return {"mixture": 1.0}, 0.0
    say = {"mixture": 1.0 - shared.weight}
    if not shared.needs_all_experts:
        return say | {"generalist": shared.weight}, 0.0
    own = {name: shared.weight * part for name, part in shared.model.parts.items()}
    return say | own, shared.weight * shared.model.strength
