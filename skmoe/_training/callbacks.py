"""The course of a fit as tasks for the callbacks of scikit-learn, which has them since 1.9.

The protocol is marked experimental there. Its tree of tasks is, for a mixture: the fit; in it
stages, which `Progress` names; in these the iterations of EM, and in an iteration the fits of
experts, fold by fold. Experts are not told of the callbacks themselves: they are cloned and fitted
many times, on folds, in other processes perhaps, and their fits are tasks of the mixture.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:  # scikit-learn before 1.9 has no callbacks

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands in where there is nothing to support."""


class Tasks:
    """The task that each moment of a fit belongs to.

    Parameters
    ----------
    estimator : mixture
        That is being fitted, and has callbacks.
    root : CallbackContext
    rows : dict
        ``X``, ``y`` and ``metadata`` as hooks of callbacks get them.
    attributes : callable
        From a `TrainedMixture` to the fitted attributes of an estimator.
    """

    def __init__(
        self,
        estimator: Any,
        root: Any,
        rows: dict[str, Any],
        attributes: Callable[[Any], dict[str, Any]],
    ):
        self.estimator, self.rows, self.attributes = estimator, rows, attributes
        self.root = root
        self.stage: Any = None
        self.iterates = True
        self.iteration: Any = None

    @classmethod
    def of(
        cls, estimator: Any, data: Any, attributes: Callable[[Any], dict[str, Any]]
    ) -> Tasks | None:
        """Begin the task of a whole fit; None without callbacks."""
        if not hasattr(estimator, "_init_callback_context"):
            return None
        rows = {"X": data.X, "y": data.y, "metadata": {"sample_weight": data.sample_weight}}
        root = estimator._init_callback_context(max_subtasks=None)
        if not getattr(estimator, "_skl_callbacks", []):
            return None
        root.call_on_fit_task_begin(estimator=estimator, **rows)
        return cls(estimator, root, rows, attributes)

    def enter(self, name: str, iterates: bool) -> None:
        """A stage begins, with iterations of EM or without; the one before it is over."""
        self._end_stage()
        self.iterates = iterates
        self.stage = self._begin(self.root, name)

    def fits(self, done: int) -> None:
        """So many fits of experts are done of those begun at once; 0: they begin now."""
        if done:
            self._end(self._begin(self.iteration or self.stage, "expert fit", leaf=True))
        elif self.iterates and self.iteration is None:
            self.iteration = self._begin(self.stage, "iteration")

    def iteration_ends(self, trained: Callable[[], Any]) -> None:
        """An iteration is over; `trained` makes of it a mixture that is ready to predict."""
        iteration = self.iteration or self._begin(self.stage, "iteration")
        self.iteration = None
        self._end(iteration, lambda: self.attributes(trained()))

    def end(self) -> None:
        """The fit is over, and the estimator has its attributes."""
        self._end_stage()
        self._end(self.root, lambda: fitted_attributes(self.estimator))

    def _end_stage(self):
        for task in (self.iteration, self.stage):
            if task is not None:
                self._end(task)
        self.iteration = self.stage = None

    def _begin(self, parent, name, leaf=False):
        task = parent.subcontext(task_name=name, max_subtasks=0 if leaf else None)
        return task.call_on_fit_task_begin(estimator=self.estimator, **self.rows)

    def _end(self, task, attributes=None):
        task.call_on_fit_task_end(
            estimator=self.estimator, reconstruction_attributes=attributes, **self.rows
        )


def fitted_attributes(estimator: Any) -> dict[str, Any]:
    """What `fit` has set: all attributes but parameters and what callbacks keep there."""
    own = {*estimator.get_params(deep=False), "_callback_fit_ctx", "_parent_callback_ctx"}
    return {
        name: value
        for name, value in vars(estimator).items()
        if name not in own and not name.startswith("_skl_")
    }
