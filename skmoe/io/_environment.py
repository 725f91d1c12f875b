"""The versions that a model was saved with, and in what they differ from those here."""

from __future__ import annotations

import functools
import platform
from importlib.metadata import version
from typing import Any

import joblib
import numpy
import scipy
import sklearn

from .._version import __version__


def versions() -> dict[str, str]:
    """Versions of everything that has a part in a prediction."""
    return {
        "skmoe": __version__,
        "scikit-learn": sklearn.__version__,
        "numpy": numpy.__version__,
        "scipy": scipy.__version__,
        "numba": numba_version(),
        "joblib": joblib.__version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
    }


@functools.cache
def numba_version() -> str:
    """Version of numba, without importing it: that takes longer than all else."""
    return version("numba")


def version_differences(saved: dict[str, Any]) -> list[str]:
    """Say for each version that is another one here what it was and what it is.

    Bug-fix releases of Python do not count.
    """

    def without_bug_fixes(name: str, version: object) -> str:
        return str(version).rpartition(".")[0] if name == "python" else str(version)

    return [
        f"{name} {saved.get(name)} -> {here}"
        for name, here in versions().items()
        if without_bug_fixes(name, saved.get(name)) != without_bug_fixes(name, here)
    ]
