"""What changing single experts did to the rows at hand: losses held out, before and after."""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .._arithmetic.statistics import paired
from .._compat import Record
from .._data.rows import TrainingData
from .._likelihoods import Categorical, CategoricalOutputs

USUAL_PART = 0.05
"""Part of the rows in training from which on an expert is missed among the rows at hand."""

MISSED = 0.1
"""An expert is missed if it leads less than this fraction of the part that it led in training."""


WORSE, WORSE_OF_ONE = 1.0, 2.0
"""Standard errors by which old rows, and those of one expert, have to get worse for a warning.

With one for each of four experts, 7 of 12 additions that changed nothing were warned of; with two,
one was.
"""


@dataclass(frozen=True, eq=False)
class SurgeryReport(Record):
    """What an operation on single experts did to the rows that it was given.

    The mixture before the operation has not seen these rows if the caller kept to that; what it
    says of them then is held out, and so is what is said of the mixture after it, by the folds of
    the operation. Both are mixtures of all experts, whatever `top_k` is.

    Attributes
    ----------
    groups : tuple of str
        "new rows"; "old rows" if some were given; and, for each expert of the mixture before,
        its name: the (old) rows that it led before. Experts that led none are left out.
    of_expert : ndarray of shape (n_groups,), dtype bool
        Whether a group is that of an expert.
    rows : ndarray of shape (n_groups,), dtype int
        Rows with a held-out prediction.
    before, after : ndarray of shape (n_groups,)
        Loss before and after. Infinite before where there are classes that were not known.
    z : ndarray of shape (n_groups,)
        Change of the mean loss of a row (squared where `loss` is a root) over the standard error
        of the paired differences; positive if the rows got worse. NaN where that is not defined.
    loss : str
        "log-loss"; or "RMSE" (of ``likelihood="laplace"``: "MAE", the mean absolute error), in
        units of y, or of several outputs in standard deviations of each.
    held_out : bool
        False with ``e_step="insample"``: the new experts have seen the rows.
    missed : tuple of str
        Experts that led a part of the rows in training and next to none of these, so that
        nothing is known of what became of theirs.
    """

    groups: tuple[str, ...]
    of_expert: np.ndarray
    rows: np.ndarray
    before: np.ndarray
    after: np.ndarray
    z: np.ndarray
    loss: str
    held_out: bool
    missed: tuple[str, ...] = ()

    def titles(self) -> list[str]:
        """What each group is called in a table."""
        return [
            f"led by {name!r}" if of_expert else name
            for name, of_expert in zip(self.groups, self.of_expert, strict=True)
        ]

    def renamed(self, names: dict[str, str]) -> SurgeryReport:
        """The same with other names of experts."""
        groups = tuple(
            names.get(name, name) if of_expert else name
            for name, of_expert in zip(self.groups, self.of_expert, strict=True)
        )
        missed = tuple(names.get(name, name) for name in self.missed)
        return replace(self, groups=groups, missed=missed)

    def __repr__(self) -> str:
        titles = self.titles()
        width = max(map(len, titles))
        kind = self.loss if self.held_out else f"{self.loss}, in-sample"
        lines = [f"{kind:<{width}}    rows     before      after  change / se"]
        for title, *figures in zip(
            titles, self.rows, self.before, self.after, self.z, strict=True
        ):
            line = "{:<{width}} {:7d} {:10.4g} {:10.4g} {:+12.1f}"
            lines.append(line.format(title, *figures, width=width))
        if "old rows" not in titles:
            lines.append("no old rows were given: what happened to others than these is not known")
        return "\n".join(lines)


def measure_surgery(
    fitted: Any, data: TrainingData, row_loss: np.ndarray, held_out: bool, n_old: int
) -> SurgeryReport:
    """Compare a mixture with what an operation has made of it, on the rows of the operation.

    Parameters
    ----------
    fitted : fitted mixture
        As it was before.
    data : TrainingData
    row_loss : ndarray of shape (n,)
        Afterwards; NaN for rows without a held-out prediction.
    held_out : bool
    n_old : int
        So many of the rows that were given, the first ones, are old.

    Returns
    -------
    report : SurgeryReport
    """
    before, leader, names = _loss_before(fitted, data), fitted.apply(data.X), _names(fitted)
    judged, old = ~np.isnan(row_loss), data.kept < n_old
    led = old if n_old else np.ones(len(old), dtype=bool)
    members = [("new rows", False, ~old), ("old rows", False, old)]
    members += [(name, True, led & (leader == k)) for k, name in enumerate(names)]
    members = [(name, flag, own & judged) for name, flag, own in members if (own & judged).any()]
    figures = []
    in_units = fitted._likelihood.loss_in_units
    for _, _, own in members:
        pair, weight = (before[own], row_loss[own]), data.sample_weight[own]
        means = [in_units(np.average(loss, weights=weight)) for loss in pair]
        figures.append((own.sum(), *means, _standardised(*pair, weight)))
    rows, *columns = zip(*figures, strict=True)
    losses_before, losses_after, z = (np.array(column, dtype=np.float64) for column in columns)
    return SurgeryReport(
        tuple(name for name, _, _ in members),
        np.array([flag for _, flag, _ in members]),
        np.array(rows, dtype=np.int64),
        losses_before,
        losses_after,
        z,
        loss=fitted._likelihood.metric,
        held_out=held_out,
        missed=() if n_old else _missed(fitted, leader),
    )


def warn_of_harm(report: SurgeryReport, kept: tuple[str, ...]) -> None:
    """Warn where old rows got worse, or where nobody can know whether they did.

    Parameters
    ----------
    report : SurgeryReport
    kept : tuple of str
        Experts that are still what they were.
    """
    old = "old rows" if "old rows" in report.groups else "new rows"  # led by experts before, too
    together = np.array([title == old for title in report.titles()])
    worse = (report.z > WORSE) & together | (report.z > WORSE_OF_ONE) & report.of_expert
    if worse.any():
        told = "; ".join(
            f"{title}: {before:.4g} -> {after:.4g} ({z:+.1f} standard errors)"
            for title, before, after, z, is_worse in zip(
                report.titles(), report.before, report.after, report.z, worse, strict=True
            )
            if is_worse
        )
        _warn_user(
            f"rows got worse ({report.loss} held out, {told}; see surgery_); more rows like "
            "these, as old_rows=(X_old, y_old) say, or a refit of the experts that led them, may "
            "mend it. The mixture before the operation is unchanged"
        )
    missed = [name for name in report.missed if name in kept]
    if missed:
        _warn_user(
            f"next to none of these rows are such as the experts {missed} led in training, and "
            "the gate is now trained on these rows alone: what became of theirs is not known. "
            "Give some of them, as old_rows=(X_old, y_old)"
        )


def _warn_user(message):
    """Warn, as from the call of the operation."""
    warnings.warn(message, UserWarning, stacklevel=8)


def _names(fitted):
    return tuple(fitted.named_experts_)


def _loss_before(fitted, data):
    """Loss (n,) of the mixture of all experts; infinite for classes that it does not know."""
    dense = copy.copy(fitted)
    dense.top_k = None
    prediction, likelihood = dense._mixed(data.X), fitted._likelihood
    if not isinstance(likelihood, Categorical | CategoricalOutputs):
        return likelihood.loss(fitted._encode(data.y), prediction)
    outputs = zip(data.y.reshape(len(data.y), -1).T, fitted._class_lists, strict=True)
    known = np.all([np.isin(labels, classes) for labels, classes in outputs], axis=0)
    loss = np.full(len(known), np.inf)
    loss[known] = likelihood.loss(fitted._encode(data.y[known]), prediction[known])
    return loss


def _standardised(before, after, weight):
    """Mean difference over its standard error; NaN if it is not defined."""
    if len(before) < 2 or not np.isfinite(before).all():
        return np.nan
    mean, error = paired(after - before, weight)
    return mean / error if error > 0 else np.sign(mean) * np.inf if mean else 0.0


def _missed(fitted, leader):
    """Experts that led many rows in training and next to none now."""
    names = _names(fitted)
    if not hasattr(fitted, "utilization_"):  # it went with an expert that was dropped
        return ()
    now = np.bincount(leader, minlength=len(names)) / len(leader)
    usual = fitted.utilization_.top
    missed = (usual >= USUAL_PART) & (now < MISSED * usual)
    return tuple(name for name, is_missed in zip(names, missed, strict=True) if is_missed)
