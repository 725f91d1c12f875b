"""Training that stops before its end, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..exceptions import FitInterruptedError, WorkersLostError


class BestSoFar:
    """The most likely iterate of all runs of EM with the experts of a training.

    Attributes
    ----------
    found : record with a ``run``, or None before the first iteration
    """

    found: Any = None

    def offer(self, found: Any) -> None:
        """Keep what was found, if it is more likely than what is kept."""
        if self.found is None or _log_likelihood(found) > _log_likelihood(self.found):
            self.found = found


def error_with_partial(
    stop: KeyboardInterrupt | WorkersLostError,
    best: BestSoFar,
    finish: Callable[[Any], Any],
) -> FitInterruptedError | WorkersLostError:
    """The exception that says so, and can still make a mixture of the best iterate.

    Parameters
    ----------
    stop : KeyboardInterrupt or WorkersLostError
    best : BestSoFar
    finish : callable
        What makes a trained mixture of what was found.

    Returns
    -------
    error : FitInterruptedError or WorkersLostError
    """
    lost = isinstance(stop, WorkersLostError)
    error: Any = stop if lost else FitInterruptedError(*stop.args)
    found = best.found
    error._finish_with(None if found is None else lambda: finish(found))
    return error


def _log_likelihood(found):
    return found.run.best.log_likelihood
