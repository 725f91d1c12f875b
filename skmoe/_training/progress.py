"""What a fit says of its progress, with `verbose`."""

from __future__ import annotations

import sys
import time


class Progress:
    """Lines on stdout, all of which begin with the seconds since the fit began.

    On a terminal a passing line is overwritten by the next one; in a log each has its place.

    Parameters
    ----------
    verbose : int
        0 says nothing, 1 stages and what they bring, 2 each iteration of EM, too.
    """

    def __init__(self, verbose: int):
        self.verbose = verbose
        self.started = time.perf_counter()

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
