"""Files that earlier releases wrote, with the packages of their time: they load for ever."""

import importlib
import inspect
import io
import pickle
import pkgutil
import warnings
from pathlib import Path

import joblib
import numpy as np
import pytest
import sklearn
from sklearn.utils.fixes import parse_version

import skmoe
from skmoe._compat import FORMER_CLASSES, Record, RevivedWithDefaults
from skmoe.io import BundleWarning, verify
from skmoe.io._format import HISTORY, VERSION
from skmoe.io._reader import READERS

DATA = Path(__file__).parent / "stored"
BUNDLES = sorted(DATA.glob("*.skmoe"))
PICKLES = [*sorted(DATA.glob("*.pkl")), *sorted(DATA.glob("*.joblib"))]
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


def as_plain(path):
    """What is in a pickle or a file of joblib, read as users read it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of scikit-learn: other versions
        if path.suffix == ".joblib":
            return joblib.load(path)
        with path.open("rb") as file:
            return pickle.load(file)


@pytest.mark.parametrize("path", PICKLES, ids=lambda path: path.name)
def test_plain_pickles_load_and_predict_what_they_predicted(path):
    saved_with = path.stem.rpartition("sklearn")[2]
    if parse_version(saved_with) > parse_version(sklearn.__version__):
        pytest.skip(f"no scikit-learn reads all estimators of a newer one, here {saved_with}")
    stored = as_plain(path)
    assert len(stored) == 8
    for name, (model, said) in stored.items():
        predict = getattr(model, "predict_proba", model.predict)
        for key, answer in [("predictions", predict(rows())), ("gate", model.gate_proba(rows()))]:
            np.testing.assert_allclose(answer, said[key], rtol=1e-6, atol=1e-6, err_msg=name)
        assert model.overlap == "auto" and 0 <= model.overlap_ <= 1
        assert not hasattr(model, "share") and not hasattr(model, "share_")
        if name == "an expert dropped":  # of the other figures none is true any more
            continue
        assert set(model.history_) >= {"log_likelihood", "expert_mass"}
        assert "expert_share" not in model.history_
        assert model.utilization_.rows_led.sum() == len(rows())
        assert np.array_equal(model.utilization_.top, model.utilization_.rows_led / len(rows()))
        assert repr(model.utilization_) and repr(model.lift_)


def test_old_models_go_on():
    """What was read can be changed, saved, and trained further."""
    path = next(path for path in PICKLES if "1.6.1.pkl" in path.name)
    model = as_plain(path)["cosine"][0]
    assert skmoe.read_manifest(saved_file(model)).training["rows"] == len(rows())
    more = model.set_params(warm_start=True, max_iter=2, tol=10.0).fit(rows(), rows()[:, 0])
    assert np.isfinite(more.predict(rows())).all()


def saved_file(model):
    file = io.BytesIO()
    skmoe.dump(model, file)
    file.seek(0)
    return file


@pytest.mark.parametrize("former", FORMER_CLASSES)
def test_former_names_lead_to_classes_of_today(former):
    module, _, name = former.rpartition(".")
    kind = getattr(importlib.import_module(module), name)
    assert f"{kind.__module__}.{kind.__qualname__}" == FORMER_CLASSES[former]


def test_other_modules_are_absent_as_ever():
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("skmoe._no_such_module")


def is_private(name):
    return any(part.startswith("_") for part in name.split("."))


def all_classes():
    """Every class that is defined in skmoe, by the place of its definition."""
    for module in pkgutil.walk_packages(skmoe.__path__, "skmoe."):
        if module.name == "skmoe.__main__":
            continue
        for value in vars(importlib.import_module(module.name)).values():
            if inspect.isclass(value) and value.__module__.split(".")[0] == "skmoe":
                yield module.name, value


def test_every_class_that_can_be_stored_has_a_public_name():
    """Also those that no model of the tests holds, and those that are yet to be written."""
    bases = {"RevivedWithDefaults", "Record", "_LocationScale"}
    stored = {
        kind
        for _, kind in all_classes()
        if issubclass(kind, (Record, RevivedWithDefaults))
        and kind.__name__ not in bases
        and not inspect.isabstract(kind)
    }
    assert len(stored) >= 20
    assert not [kind for kind in stored if is_private(kind.__module__)]
    for kind in stored:
        assert getattr(importlib.import_module(kind.__module__), kind.__name__) is kind
