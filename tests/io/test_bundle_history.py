"""Bundles that earlier releases wrote, with the packages of their time: they load for ever."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import sklearn

import skmoe
from skmoe.io import BundleWarning, verify
from skmoe.io._format import HISTORY, VERSION
from skmoe.io._reader import READERS

DATA = Path(__file__).parent / "stored"
BUNDLES = sorted(DATA.glob("*.skmoe"))
KEY = b"key of the committed bundles"


def rows():
    grid = np.arange(90.0)
    return np.column_stack([np.sin(grid), np.cos(3 * grid), grid % 7 / 7])


@pytest.mark.parametrize("path", BUNDLES, ids=lambda path: path.stem)
@pytest.mark.parametrize("lazy", [False, True])
def test_loads_and_predicts_what_it_predicted(path, lazy):
    key = KEY if "regressor" in path.stem else None
    manifest = verify(path, key=key)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of scikit-learn and of skmoe: other versions
        model = skmoe.load(path, key=key, lazy=lazy)
    X = rows()
    answer = model.predict(X) if "regressor" in path.stem else model.predict_proba(X)
    saved = manifest.golden["predictions"]
    expected = np.reshape(saved["values"], saved["shape"])
    np.testing.assert_allclose(answer[:5], expected, rtol=1e-6, atol=1e-6)
    assert np.isfinite(answer).all() and len(model.experts_) == 2
    assert manifest.metadata == {"kind": path.stem.rpartition("_")[2]}


def test_other_versions_are_warned_of():
    others = [path for path in BUNDLES if f"sklearn{sklearn.__version__}_" not in path.stem]
    assert others  # the committed ones are of two releases
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.warns(BundleWarning, match="other versions .*scikit-learn .* golden rows"):
            skmoe.load(others[0])


def test_every_version_has_files_and_a_reader():
    versions = {path.stem.partition("_")[0] for path in BUNDLES}
    assert versions == {f"format{version}" for version in HISTORY}
    assert set(READERS) == set(HISTORY) and max(HISTORY) == VERSION
