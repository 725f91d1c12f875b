"""Fixtures that every test module may use."""

import os
from pathlib import Path

import pytest

# Set before anything imports NumPy: test processes share the cores, so each keeps to one thread.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("MPLBACKEND", "Agg")

ROOT = Path(__file__).resolve().parents[1]


def shared_directory(variable, default):
    """A directory of files that are not part of the repository; the test is skipped without it."""
    path = Path(os.environ.get(variable) or default)
    if not path.is_dir():
        pytest.skip(f"{path} does not exist; set {variable} to the directory")
    return path


@pytest.fixture(scope="session")
def reference_dir():
    """Results of independent R programs for the same model (SKMOE_REFERENCE)."""
    return shared_directory("SKMOE_REFERENCE", ROOT.parent / "shared" / "reference")


@pytest.fixture(scope="session")
def data_dir():
    """Real data sets (SKMOE_DATA)."""
    return shared_directory("SKMOE_DATA", ROOT.parent / "shared" / "data")
