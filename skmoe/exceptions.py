"""Exceptions that stop a fit before its end, and carry what it had learned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class _Unfinished:
    """An exception that can still make a fitted mixture of the best iterate."""

    _finish: Callable[[], Any] | None = None
    _model: Any = None

    @property
    def partial_(self) -> Any:
        """The fitted mixture of the best iterate; None if there was none yet.

        Its experts are fitted when it is first asked for, in this process, one after the other;
        it has no shared expert.
        """
        if self._finish is not None:
            self._model, self._finish = self._finish(), None
        return self._model

    def _finish_with(self, finish: Callable[[], Any] | None) -> None:
        """Say how a mixture is made of what was learned."""
        self._finish = finish

    def _then(self, function: Callable[[Any], Any]) -> None:
        """Say what is to be made of the result."""
        finish = self._finish
        if finish is not None:
            self._finish = lambda: function(finish())

    def __reduce__(self):
        """Leave what was learned behind when it is sent to another process."""
        return type(self), getattr(self, "args", ())


class FitInterruptedError(_Unfinished, KeyboardInterrupt):
    """Somebody has pressed Ctrl-C, or sent the signal of that, while a mixture was fitted.

    It is a KeyboardInterrupt, so that whatever handles those handles it. `partial_` is what was
    learned until then.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.tree import DecisionTreeRegressor
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.exceptions import FitInterruptedError
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = MixtureOfExpertsRegressor(
    ...     DecisionTreeRegressor(max_depth=3), random_state=0
    ... )
    >>> try:
    ...     _ = model.fit(X, y)
    ... except FitInterruptedError as interrupted:
    ...     model = interrupted.partial_
    """


class WorkersLostError(_Unfinished, Exception):
    """A worker that fitted experts has died, and so has one that was to make up for it.

    Workers die if memory runs out, if a cluster takes them away, or if an expert crashes the
    interpreter. Each call is made a second time before this is raised. `partial_` is what was
    learned until then; beware of an expert that crashes the interpreter: it is fitted in this one.

    Examples
    --------
    >>> from skmoe.exceptions import WorkersLostError
    >>> issubclass(
    ...     WorkersLostError, RuntimeError
    ... )  # it is no fault of the data or of a parameter
    False
    """


__all__ = ["FitInterruptedError", "WorkersLostError"]
