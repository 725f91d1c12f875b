"""A model that was saved and loaded is the model that was saved."""

import copy
import dataclasses
import io
import json
import os
import pickle
import pickletools
import subprocess
import sys
import zipfile

import joblib
import numpy as np
import pytest
from bundle_models import NAMES, Y, assert_same, differences, fitted, regressor, saved
from bundle_models import X as ROWS
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge

import skmoe
from skmoe.__main__ import main
from skmoe._compat import Record
from skmoe.io import ModelKindError, verify
from skmoe.io._pickle import gaps, to_pickle
from skmoe.io._state import attributes, build

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

EVERY_KIND = pytest.mark.parametrize("name", NAMES)


def test_the_comparison_sees_differences():
    model, X = fitted("forests")
    other = copy.deepcopy(model)
    assert differences(model, other) == []
    other.experts_[0].estimators_[2] = other.experts_[0].estimators_[1]
    assert differences(model, other)
    other = copy.deepcopy(model)
    other.gate_.coef_[0, 0] = np.nextafter(other.gate_.coef_[0, 0], 1)
    assert differences(model, other) == [
        "model[2].gate_[2].coef_: values",
    ]


@EVERY_KIND
@pytest.mark.parametrize("compress", [0, 1])
def test_round_trip(name, compress):
    model, X = fitted(name)
    content = saved(model, golden_rows=X, compress=compress)
    assert_same(model, skmoe.load(io.BytesIO(content)), X)


@EVERY_KIND
def test_dump_does_not_change_the_model(name):
    model, X = fitted(name)
    before = copy.deepcopy(model)
    saved(model, golden_rows=X)
    assert differences(before, model) == []


@EVERY_KIND
def test_the_same_model_gives_the_same_bytes(name):
    model, X = fitted(name)
    # Trees of neighbours count how often they are asked, so these are not.
    rows = False if "neighbour" in name else X
    assert saved(model, golden_rows=rows) == saved(model, golden_rows=rows)


def test_what_is_between_the_fields_of_a_tree_is_not_written():
    """Memory holds anything there, in each process something else."""
    nodes = fitted("trees")[0].experts_[0].tree_.__getstate__()["nodes"]
    assert gaps(nodes.dtype)
    written = set()
    for garbage in (0, 255):
        raw = np.full(nodes.nbytes, garbage, dtype=np.uint8)
        array = raw.view(nodes.dtype)
        for name in nodes.dtype.names:
            array[name] = nodes[name]
        written.add(b"".join(to_pickle({"nodes": array})))
    assert len(written) == 1
    again = joblib.load(io.BytesIO(written.pop()))["nodes"]
    assert again.dtype == nodes.dtype and again.tolist() == nodes.tolist()
    plain = np.zeros(2, dtype=[("a", "<i4"), ("b", "<f4")])
    assert gaps(plain.dtype) == () and gaps(np.dtype("<f8")) == ()


def test_experts_that_are_one_object_stay_one():
    model, X = fitted("frozen twice")
    content = saved(model)
    names = zipfile.ZipFile(io.BytesIO(content)).namelist()
    assert [name for name in names if name.startswith(("experts/", "objects/"))] == [
        "experts/0.joblib"
    ]
    loaded = skmoe.load(io.BytesIO(content))
    assert loaded.experts_[0] is loaded.experts_[1] is loaded.named_experts_.two
    assert loaded.experts[0][1] is loaded.experts_[0]


def test_a_loaded_model_can_be_saved_pickled_and_trained(tmp_path):
    model, X = fitted("different experts")
    path = tmp_path / "model.skmoe"
    skmoe.dump(model, path)
    for lazy in (False, True):
        loaded = skmoe.load(path, lazy=lazy)
        assert_same(model, skmoe.load(io.BytesIO(saved(loaded))), X)
        assert_same(model, pickle.loads(pickle.dumps(loaded)), X)
        np.testing.assert_array_equal(loaded.fit(X, Y).predict(X), model.predict(X))


def test_pickle_and_joblib_still_work(tmp_path):
    model, X = fitted("nested")
    assert_same(model, pickle.loads(pickle.dumps(model)), X)
    joblib.dump(model, tmp_path / "model.joblib")
    assert_same(model, joblib.load(tmp_path / "model.joblib"), X)


@dataclasses.dataclass(frozen=True)
class Old(Record):
    kept: int
    lost: str


@dataclasses.dataclass(frozen=True)
class New(Record):
    kept: int
    gained: float
    also_gained: str = "default"


def test_records_that_have_gained_and_lost_fields_since():
    assert build(New, attributes(Old(1, "x"))) == New(1, None, "default")


# what standard tools see ----------------------------------------------------------------------


def test_the_bundle_is_a_zip_whose_arrays_numpy_reads(tmp_path):
    model, X = fitted("ridge")
    path = tmp_path / "model.skmoe"
    skmoe.dump(model, path, metadata={"who": ["me", 1.5, None]})
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist()[0] == "manifest.json"
        manifest = json.loads(archive.read("manifest.json"))
        expert = joblib.load(io.BytesIO(archive.read("experts/0.joblib")))
    assert manifest["metadata"] == {"who": ["me", 1.5, None]}
    np.testing.assert_array_equal(expert.coef_, model.experts_[0].coef_)
    with np.load(path, allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["state/gate_/coef_"], model.gate_.coef_)


def test_only_experts_and_objects_need_trust():
    """No pickles but for what is neither plain nor an array."""
    model, _ = fitted("ridge")
    with zipfile.ZipFile(io.BytesIO(saved(model))) as archive:
        kinds = {name: name.rpartition(".")[2] for name in archive.namelist()}
    assert set(kinds.values()) == {"json", "npy", "joblib"}
    assert [name for name, kind in kinds.items() if kind == "joblib"] == [
        "experts/0.joblib",
        "experts/1.joblib",
    ]


def test_manifest():
    model, X = fitted("pandas")
    manifest = skmoe.read_manifest(io.BytesIO(saved(model, golden_rows=X, metadata={"a": 1})))
    assert manifest.format_version == 1
    assert manifest.payload == "joblib"
    assert not manifest.signed
    assert manifest.metadata == {"a": 1}
    assert manifest.model["class"] == "skmoe.MixtureOfExpertsRegressor"
    assert manifest.model["feature_names"] == list(X.columns)
    assert manifest.model["parameters"]["gate_features"] == "['number']"
    assert "\n" in repr(model.experts) and "\n" not in manifest.model["parameters"]["experts"]
    assert [expert["name"] for expert in manifest.experts] == ["expert_0", "expert_1"]
    assert manifest.experts[0]["type"] == "sklearn.pipeline.Pipeline"
    assert manifest.training["rows"] == len(Y)
    assert manifest.training["log_likelihood"] == model.log_likelihood_
    assert manifest.training["lift"]["best_expert"] == model.lift_.best_expert
    assert len(manifest.training["history"]["log_likelihood"]) == model.n_iter_
    assert [column["dtype"] for column in manifest.golden["rows"]["columns"]][::2] == [
        "float64",
        "int64",
    ]
    text = repr(manifest)
    assert max(map(len, text.splitlines())) < 100
    for part in ("Pipeline", "Regressor", "number", "pickles", "format 1", *manifest.versions):
        assert part in text
    classes = skmoe.read_manifest(io.BytesIO(saved(fitted("logistic")[0]))).model
    assert classes["classes"] == ["no", "perhaps", "yes"]


def test_training_rows_are_counted_with_sparse_routing():
    model, _ = fitted("trees")
    assert skmoe.read_manifest(io.BytesIO(saved(model))).training["rows"] == len(Y)


def test_training_rows_are_those_of_the_training_whatever_top_k_is_now():
    model = copy.copy(fitted("ridge")[0]).set_params(top_k=1)
    assert skmoe.read_manifest(io.BytesIO(saved(model))).training["rows"] == len(Y)
    assert model.n_experts_ == 2


# arguments -------------------------------------------------------------------------------------


def test_what_is_no_fitted_mixture_is_refused(tmp_path):
    path = tmp_path / "model.skmoe"
    with pytest.raises(NotFittedError):
        skmoe.dump(regressor(), path)
    for other in (Ridge().fit(ROWS, Y), fitted("ridge")[0].gate_, {"a": 1}):
        with pytest.raises(ModelKindError, match="joblib.dump"):
            skmoe.dump(other, path)
    assert os.listdir(tmp_path) == []


def test_what_cannot_be_pickled_is_named():
    model = copy.deepcopy(fitted("ridge")[0])
    model.init = lambda X: X
    with pytest.raises(ModelKindError, match="init: builtins.function cannot be pickled"):
        saved(model)
    model = copy.deepcopy(fitted("ridge")[0])
    model.named_experts_.expert_1.extra = lambda: 0
    with pytest.raises(ModelKindError, match="expert 'expert_1'.*cannot be pickled"):
        saved(model)


@pytest.mark.parametrize(
    "options, error",
    [
        ({"payload": "pickle"}, ValueError),
        ({"compress": 10}, ValueError),
        ({"compress": True}, ValueError),
        ({"metadata": {1: "a"}}, TypeError),
        ({"metadata": {"a": (1, 2)}}, TypeError),
        ({"metadata": {"a": float("nan")}}, TypeError),
        ({"metadata": {"a": object()}}, TypeError),
        ({"metadata": [1]}, TypeError),
        ({"key": "a string that is long enough"}, TypeError),
        ({"key": b"short"}, ValueError),
        ({"compress": 1.0}, ValueError),
    ],
)
def test_wrong_arguments(options, error, tmp_path):
    with pytest.raises(error):
        skmoe.dump(fitted("ridge")[0], tmp_path / "model.skmoe", **options)
    assert os.listdir(tmp_path) == []


def test_files_of_all_kinds(tmp_path):
    model, X = fitted("ridge")
    content = saved(model)
    names = [str(tmp_path / "text"), tmp_path / "path", os.fsencode(tmp_path / "bytes")]
    for name in names:
        skmoe.dump(model, name)
        assert open(name, "rb").read() == content
        assert_same(model, skmoe.load(name), X)
    with open(tmp_path / "open", "wb", buffering=0) as file:
        file.write(b"before")
        skmoe.dump(model, file)
    with open(tmp_path / "open", "rb") as file:
        assert file.read(6) == b"before"
        assert_same(model, skmoe.load(file), X)
    with pytest.raises(FileNotFoundError):
        skmoe.load(tmp_path / "missing")


def test_what_is_no_binary_file_is_refused_before_any_work(tmp_path, monkeypatch):
    model, X = fitted("ridge")
    monkeypatch.delattr("skmoe.io._writer.bundle_parts")
    with pytest.raises(IsADirectoryError, match="give the name of a file"):
        skmoe.dump(model, tmp_path)
    with pytest.raises(FileNotFoundError):
        skmoe.dump(model, tmp_path / "missing" / "model.skmoe")
    with pytest.raises(TypeError, match="PathLike"):
        skmoe.dump(model, None)
    with open(tmp_path / "text", "w") as file, pytest.raises(TypeError, match="mode 'wb'"):
        skmoe.dump(model, file)
    for read in (skmoe.load, skmoe.read_manifest, verify):
        with open(tmp_path / "text") as file, pytest.raises(TypeError, match="mode 'rb'"):
            read(file)
    assert os.listdir(tmp_path) == ["text"]


class Dribble(io.RawIOBase):
    """Takes a few bytes at a time and can neither seek nor tell, as a pipe may."""

    def __init__(self):
        self.content = bytearray()

    def writable(self):
        return True

    def write(self, data):
        self.content += bytes(data[:1000])
        return min(len(data), 1000)


def test_file_that_takes_little_at_a_time():
    model, _ = fitted("ridge")
    file = Dribble()
    skmoe.dump(model, file)
    assert bytes(file.content) == saved(model)


# other processes -------------------------------------------------------------------------------


def test_two_processes_write_the_same_bytes(tmp_path):
    model, X = fitted("different experts")
    joblib.dump(model, tmp_path / "model.joblib")
    code = (
        "import io, joblib, sys, hashlib, skmoe\n"
        "buffer = io.BytesIO()\n"
        "skmoe.dump(joblib.load(sys.argv[1]), buffer)\n"
        "print(hashlib.sha256(buffer.getvalue()).hexdigest())\n"
    )
    hashes = set()
    for seed in ("1", "2"):
        result = subprocess.run(
            [sys.executable, "-c", code, tmp_path / "model.joblib"],
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONHASHSEED": seed},
        )
        assert result.returncode == 0, result.stderr
        hashes.add(result.stdout)
    assert len(hashes) == 1


def test_verify_executes_nothing(tmp_path):
    model, X = fitted("own class")
    path = tmp_path / "model.skmoe"
    skmoe.dump(model, path)
    code = (
        "import sys, joblib, pickle\n"
        "def stop(*a, **k): raise SystemExit('unpickled')\n"
        "joblib.load = pickle.load = pickle.loads = stop\n"
        "from skmoe.__main__ import main\n"
        "sys.exit(main(['verify', sys.argv[1]]) or main(['inspect', sys.argv[1]]))\n"
    )
    result = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "not signed" in result.stdout and "Ours" in result.stdout
    assert verify(path).members == skmoe.read_manifest(path).members


@pytest.mark.parametrize("name", NAMES)
def test_pickles_name_public_modules_only(name):
    """So that a private module may move without a word to those who have files."""
    operations = pickletools.genops(pickle.dumps(fitted(name)[0], protocol=2))
    named = {
        argument.replace(" ", ".") for code, argument, _ in operations if code.name == "GLOBAL"
    }
    ours = {each for each in named if each.startswith("skmoe.")}
    assert ours and not [each for each in ours if "._" in each]


def test_the_command_line_tells_its_version(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0 and capsys.readouterr().out == f"skmoe {skmoe.__version__}\n"


def test_too_little_memory_is_no_fault_of_the_file(monkeypatch):
    """Neither when an expert is built, nor when it is asked, nor when it is written."""
    model, X = fitted("ridge")
    content = saved(model, golden_rows=X)

    def exhausted(*arguments, **options):
        raise MemoryError("no")

    for place in ("_payload.joblib.load", "_golden.mixture_answer", "_version_1.from_json"):
        with monkeypatch.context() as patch, pytest.raises(MemoryError):
            patch.setattr(f"skmoe.io.{place}", exhausted)
            skmoe.load(io.BytesIO(content))
    for place in ("_payload.to_pickle", "_golden.mixture_answer"):
        with monkeypatch.context() as patch, pytest.raises(MemoryError):
            patch.setattr(f"skmoe.io.{place}", exhausted)
            skmoe.dump(model, io.BytesIO())
