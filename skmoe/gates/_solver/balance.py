"""Softmax regression with the losses by which neural mixtures keep their routers in order.

To the cross-entropy and the penalty of `solve` this objective adds, for logits ``a_i = W z_i``
that sum to zero over the K experts and weights ``w`` that sum to 1,

    balance * K sum_k P_k^2,           P_k = sum_i w_i softmax(a_i)_k
    z_loss * sum_i w_i logsumexp(a_i)^2

The first is ``K sum_k f_k P_k`` with the fraction f_k of rows sent to expert k equal to P_k, since
in training every row goes to every expert by its probability. (Up to the constant 1 it is the
squared coefficient of variation, the importance loss of Shazeer et al., 2017. Counts of top
experts in the place of f_k, as in Fedus et al., 2022, are constant almost everywhere: their
gradient ignores them, which small steps of a network survive; brought to its minimum, such a loss
would send all rows to the expert that had fewest.) It is not convex.

The second is: a log-partition function is convex, and that of logits which sum to zero is at
least ``log K``, hence positive, so that its square is convex, too. Probabilities do not tell in
which gauge logits are; were it free, the loss would choose a gauge and penalise what is left.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from .designs import ProductDesign
from .quasi_newton import ROUNDING, Stopping
from .solve import Solution


class BalancedObjective:
    """Value and gradient of the objective.

    Parameters
    ----------
    design : ProductDesign
    targets : ndarray of shape (n_samples, n_experts)
        Rows sum to 1.
    weights : ndarray of shape (n_samples,)
        Non-negative; only their ratios matter.
    penalty : float
        Of all columns but that of ones.
    balance, z_loss : float
        Weights of the losses.
    """

    def __init__(
        self,
        design: ProductDesign,
        targets: np.ndarray,
        weights: np.ndarray,
        penalty: float,
        balance: float,
        z_loss: float,
    ):
        self.design = design
        self.targets = targets
        self.weights = weights / weights.sum()
        self.penalty = np.full(design.n_columns, float(penalty))
        self.penalty[-1] = 0.0
        self.balance = balance
        self.z_loss = z_loss

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the coefficients."""
        return self.targets.shape[1], self.design.n_columns

    def __call__(self, flat: np.ndarray) -> tuple[float, np.ndarray]:
        """Value at flat coefficients (n_experts * n_columns,), and the gradient there.

        Only the part of the coefficients that sums to zero over the experts counts.
        """
        coef, n_experts = flat.reshape(self.shape), self.shape[0]
        coef = coef - coef.mean(axis=0)
        logits = self.design.logits(coef)
        peak = logits.max(axis=1, keepdims=True)
        proba = np.exp(logits - peak)
        total = proba.sum(axis=1, keepdims=True)
        proba /= total
        log_partition = (np.log(total) + peak)[:, 0]

        value = self.weights @ (log_partition - np.einsum("ik,ik->i", self.targets, logits))
        value += 0.5 * np.sum(self.penalty * np.square(coef))
        residual = proba - self.targets
        if self.balance:
            load = self.weights @ proba
            value += self.balance * n_experts * load @ load
            residual += 2 * self.balance * n_experts * proba * (load - (proba @ load)[:, None])
        if self.z_loss:
            value += self.z_loss * self.weights @ np.square(log_partition)
            residual += 2 * self.z_loss * log_partition[:, None] * (proba - 1 / n_experts)
        residual *= self.weights[:, None]
        gradient = self.design.gradient(residual) + self.penalty * coef
        return value, gradient.ravel()


def solve_balanced(
    objective: BalancedObjective, stopping: Stopping, start: Solution | None = None
) -> Solution:
    """Minimise the cross-entropy with the additional losses by L-BFGS.

    Parameters
    ----------
    objective : BalancedObjective
    stopping : Stopping
        Unless its `accuracy` is 0, training also ends with a step that gains less than this.
    start : Solution, default=None
        Of which the coefficients are used.

    Returns
    -------
    solution : Solution
    """
    zero = np.zeros(objective.shape)
    if len(zero) == 1:
        return Solution(zero)
    at_zero = np.linalg.norm(objective(zero.ravel())[1])
    found = minimize(
        objective,
        (zero if start is None else start.coef).ravel(),
        jac=True,
        method="L-BFGS-B",
        options={
            "maxiter": stopping.max_iter,
            "maxfun": 2 * stopping.max_iter,
            # SciPy bounds the largest component, `tol` the norm.
            "gtol": stopping.tol * at_zero / np.sqrt(zero.size),
            "ftol": stopping.accuracy,
        },
    )
    coef = found.x.reshape(zero.shape)
    norm = np.linalg.norm(found.jac)
    relative = norm / at_zero if at_zero > 0 else 0.0
    # The line search may give up at rounding errors, where the gradient is small enough.
    converged = bool(found.success or relative <= stopping.tol or norm <= ROUNDING)
    return Solution(coef - coef.mean(axis=0), int(found.nit), converged, float(relative))
