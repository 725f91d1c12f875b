"""What a fit says of its course: to a reader with `verbose`, and to callbacks as their tasks."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

from .callbacks import Tasks

LAST_STAGES = ("EM to the end", "gate and shared expert", "experts on all rows")
"""What every fit ends with; a search comes before them."""


class Progress:
    """Lines on stdout, all of which begin with the seconds since the fit began.

    On a terminal a passing line is overwritten by the next one; in a log each has its place.

    Parameters
    ----------
    verbose : int
        0 says nothing, 1 stages and what they bring, 2 each iteration of EM, too.
    tasks : Tasks, default=None
        Of the callbacks that are to hear of it, if there are any.
    """

    def __init__(self, verbose: int, tasks: Tasks | None = None):
        self.verbose = verbose
        self.tasks = tasks
        self.started = time.perf_counter()
        self.entered = 0
        self.n_stages: int | None = None
        self.stage = ""

    def plan(self, search: Sequence[str] = ()) -> None:
        """Say how many stages are to come: those of the search, and the last ones."""
        self.n_stages = self.entered + len(search) + len(LAST_STAGES)

    def enter(self, stage: str, detail: str = "") -> None:
        """Begin a stage, which ends the one before it."""
        self.entered += 1
        of_all = "" if self.n_stages is None else f" of {self.n_stages}"
        self.stage = f"stage {self.entered}{of_all}: {stage}"
        self.say(self.stage + detail)
        if self.tasks is not None:
            self.tasks.enter(stage, iterates=stage not in LAST_STAGES[1:])

    def fits(self, done: int, total: int) -> None:
        """Say how many fits of experts are done, of those that are begun at once."""
        if self.tasks is not None:
            self.tasks.fits(done)
        if sys.stdout.isatty():  # hundreds of them would fill a log
            self.say(f"{self.stage}; {done} of {total} expert fits", passing=True)

    def iteration_ends(self, trained: Any) -> None:
        """An iteration of EM is over, and `trained` makes the mixture that it has led to."""
        if self.tasks is not None:
            self.tasks.iteration_ends(trained)

    def aside(self) -> Progress:
        """For a search within a stage: its lines are said, its own stages are not counted."""
        return _Aside(self.verbose, self.started)

    def say(self, text: str, passing: bool = False) -> None:
        """Say it, unless nothing is to be said; a passing line may be overwritten."""
        if not self.verbose:
            return
        in_place = sys.stdout.isatty()
        seconds = time.perf_counter() - self.started
        sys.stdout.write(
            ("\r\x1b[K" if in_place else "")
            + f"[skmoe] {seconds:5.1f} s  {text}"
            + ("" if passing and in_place and self.verbose == 1 else "\n")
        )
        sys.stdout.flush()


class _Aside(Progress):
    """Says what is tried, without stages or tasks."""

    def __init__(self, verbose, started):
        super().__init__(verbose)
        self.started = started

    def enter(self, stage, detail=""):
        pass

    def fits(self, done, total):
        pass
