"""Experts that are loaded when they are needed, and arrays that stay in the file."""

import builtins
import copy
import gc
import os
import pickle
import shutil
import threading

import joblib
import numpy as np
import pytest
from bundle_models import NAMES, Y, assert_same, fitted, regressor
from bundle_models import X as ROWS
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import Ridge

import skmoe
from skmoe.io import BundleError, DamagedBundleError
from skmoe.io._lazy import LazyExpert, stand_in

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

EVERY_KIND = pytest.mark.parametrize("name", NAMES)


@EVERY_KIND
def test_lazy_experts_are_the_experts(name, tmp_path):
    model, X = fitted(name)
    path = tmp_path / "model.skmoe"
    skmoe.dump(model, path, golden_rows=X)
    lazy = skmoe.load(path, lazy=True)
    # A frozen expert is a parameter as well, which is asked what input it takes.
    assert not any(loaded_experts(lazy)) or "frozen" in name
    assert_same(model, lazy, X)
    assert all(loaded_experts(lazy))


@pytest.fixture
def routed(tmp_path):
    model, X = fitted("trees")
    path = tmp_path / "model.skmoe"
    skmoe.dump(model, path, golden_rows=X)
    return model, X, path


def loaded_experts(model):
    return ["not loaded" not in repr(expert) for expert in model.experts_]


def test_lazy_experts_are_loaded_when_rows_are_routed_to_them(routed):
    model, X, path = routed
    top = model.apply(X)
    lazy = skmoe.load(path, lazy=True)
    lazy.gate_proba(X), lazy.apply(X), lazy.utilization(X)
    assert loaded_experts(lazy) == [False, False]
    lazy.predict(X[top == 1])
    assert loaded_experts(lazy) == [False, True]
    np.testing.assert_array_equal(lazy.predict(X), model.predict(X))
    assert loaded_experts(lazy) == [True, True]


def test_lazy_experts_are_experts(routed):
    model, X, path = routed
    expert = skmoe.load(path, lazy=True).experts_[0]
    assert isinstance(expert, type(model.experts_[0]))
    copied = copy.deepcopy(expert)
    assert type(copied) is type(model.experts_[0])
    assert expert.set_params(max_depth=7).max_depth == expert.max_depth == 7
    expert.max_depth = 8
    assert expert.get_params()["max_depth"] == 8
    assert copied.max_depth == 3
    pipeline = fitted("pipeline")[0]
    skmoe.dump(pipeline, path)
    lazy = skmoe.load(path, lazy=True).experts_[0]
    assert len(lazy) == 2 and isinstance(lazy[-1], Ridge) and len(list(lazy)) == 2 and lazy


class Stubborn(RegressorMixin, BaseEstimator):
    """An expert that refuses to predict once it has been trained and saved."""

    allowed = True

    def fit(self, X, y, sample_weight=None):
        return self

    def predict(self, X):
        if not Stubborn.allowed:
            raise ValueError("no")
        return np.zeros(X.shape[0])


def test_messages_call_a_lazy_expert_what_it_is(tmp_path, monkeypatch):
    path = tmp_path / "model.skmoe"
    skmoe.dump(regressor(Stubborn()).fit(ROWS, Y), path, golden_rows=False)
    lazy = skmoe.load(path, lazy=True)
    assert [type(expert).__name__ for expert in lazy.experts_] == ["Stubborn", "Stubborn"]
    assert loaded_experts(lazy) == [False, False]
    monkeypatch.setattr(Stubborn, "allowed", False)
    with pytest.raises(ValueError, match=r"'expert_0' \(Stubborn\) could not predict: no"):
        lazy.predict(ROWS)
    # The manifest may say anything, and is read before it is believed.
    for name in ("", "a b", "\0", "\ud800"):
        assert stand_in(LazyExpert, name).__name__ == "LazyExpert"


def test_a_lazy_model_survives_the_replacement_of_its_file(routed):
    model, X, path = routed
    lazy = skmoe.load(path, lazy=True)
    skmoe.dump(fitted("ridge")[0], path)
    np.testing.assert_array_equal(lazy.predict(X), model.predict(X))
    assert pickle.loads(pickle.dumps(skmoe.load(path, lazy=True))).predict(ROWS) is not None


def test_a_pickle_of_a_lazy_model_needs_no_file(routed):
    model, X, path = routed
    content = pickle.dumps(skmoe.load(path, lazy=True))
    path.unlink()
    assert_same(model, pickle.loads(content), X)


def test_threads_load_a_lazy_expert_once(routed, monkeypatch):
    model, X, path = routed
    lazy = skmoe.load(path, lazy=True)
    loads, started = [], threading.Barrier(8)
    original = joblib.load
    monkeypatch.setattr(joblib, "load", lambda *a, **k: loads.append(1) or original(*a, **k))
    results = [None] * 8

    def work(number):
        started.wait()
        results[number] = lazy.predict(X)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loads) == 2
    for result in results:
        np.testing.assert_array_equal(result, model.predict(X))


def test_lazy_and_parallel(routed):
    model, X, path = routed
    lazy = skmoe.load(path, lazy=True)
    lazy.n_jobs = 2
    with joblib.parallel_config(backend="threading"):
        np.testing.assert_array_equal(lazy.predict(X), model.predict(X))


@pytest.mark.parametrize("lazy", [False, True])
def test_memory_mapped_arrays_are_in_the_file(lazy, tmp_path):
    model, X = fitted("neighbours")
    path = tmp_path / "model.skmoe"
    skmoe.dump(model, path, golden_rows=X)
    loaded = skmoe.load(path, mmap_mode="r", lazy=lazy)
    array = loaded.experts_[0]._fit_X
    assert isinstance(array, np.memmap) and array.filename == str(path) and array.offset % 16 == 0
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1.0
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    # The same bytes: a change of the file is seen in the array.
    with open(path, "r+b") as file:
        file.seek(array.offset)
        file.write(np.float64(123.0).tobytes())
    assert array[0, 0] == 123.0


def test_mmap_mode_where_nothing_can_be_mapped(tmp_path):
    model, X = fitted("ridge")
    path = tmp_path / "model.skmoe"
    skmoe.dump(model, path, compress=3)
    with pytest.raises(ValueError, match="compressed"):
        skmoe.load(path, mmap_mode="r")
    with pytest.raises(ValueError, match="mmap_mode must be"):
        skmoe.load(path, mmap_mode="r+")
    for options in ({"mmap_mode": "r"}, {"lazy": True}):
        with open(path, "rb") as file, pytest.raises(ValueError, match="need the path"):
            skmoe.load(file, **options)


@pytest.mark.parametrize("lazy", [False, True])
def test_a_file_that_is_replaced_between_hashing_and_mapping_is_refused(
    lazy, tmp_path, monkeypatch
):
    """Arrays would be those of a file that nobody has verified."""
    model, X = fitted("neighbours")
    path, other = tmp_path / "model.skmoe", tmp_path / "other.skmoe"
    skmoe.dump(model, path, golden_rows=X)
    map_it = skmoe.io._payload.from_pickle_mapped

    def replace_first(*arguments):
        shutil.copy(path, other)
        os.replace(other, path)
        return map_it(*arguments)

    monkeypatch.setattr("skmoe.io._payload.from_pickle_mapped", replace_first)
    with pytest.raises(DamagedBundleError, match="replaced while it was loaded"):
        skmoe.load(path, mmap_mode="r", lazy=lazy).experts_[0].predict(X)


# open files --------------------------------------------------------------------------------------


@pytest.fixture
def opened(monkeypatch):
    """Files that reading has opened."""
    files = []

    def noted(*arguments):
        files.append(builtins.open(*arguments))
        return files[-1]

    monkeypatch.setattr("skmoe.io._bundle.open", noted, raising=False)
    return files


@pytest.mark.parametrize("read", [skmoe.load, skmoe.read_manifest, skmoe.io.verify])
def test_archives_are_closed(read, routed, opened):
    """Also while the error is at hand, whose traceback holds all that was there."""
    _, _, path = routed
    read(path)
    content = path.read_bytes()
    for damaged in (
        b"text",
        content[: len(content) // 2],
        content.replace(b'"format"', b'"morfat"'),
    ):
        path.write_bytes(damaged)
        with pytest.raises(BundleError) as caught:
            read(path)
        assert caught.value.__traceback__ is not None and opened[-1].closed
    assert len(opened) == 4 and all(file.closed for file in opened)


def test_the_archive_of_lazy_experts_is_closed_after_the_last(routed, opened):
    model, X, path = routed
    lazy = skmoe.load(path, lazy=True)
    assert not opened[0].closed
    lazy.predict(X)
    assert len(opened) == 1 and opened[0].closed
    skmoe.load(path, lazy=True)  # a model that nobody keeps
    gc.collect()
    assert len(opened) == 2 and opened[1].closed
