"""Everything that can be wrong with a bundle has its own error, and nothing is unpickled before.

The expert used here notes when it is unpickled.
"""

import io
import json
import pickle
import struct
import subprocess
import sys
import zipfile

import pytest
from bundle_bytes import (
    COMPRESSED,
    GOOD,
    MODEL,
    SIGNED,
    changed,
    edited,
    flipped,
    load,
    members,
    position,
    with_manifest,
    zipped,
)
from bundle_models import (
    UNPICKLED,
    X,
    assert_same,
    saved,
)

import skmoe
from skmoe.__main__ import main
from skmoe.io import (
    BundleSizeError,
    DamagedBundleError,
    DuplicateMemberError,
    FormatVersionError,
    MemberListError,
    MemberOrderError,
    ModelKindError,
    NotABundleError,
    TruncatedBundleError,
    UnsafePathError,
    UntrustedPayloadError,
    verify,
)
from skmoe.io._archive import Archive
from skmoe.io._format import ALIGNMENT


def other_zip(names=("a.txt",), method=zipfile.ZIP_STORED, comment=b""):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.comment = comment
        for name in names:
            archive.writestr(name, b"content")
    return buffer.getvalue()


def repacked(order=None, method=zipfile.ZIP_STORED, add=()):
    """What a user's zip tool makes of a bundle."""
    contents = members(GOOD)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name in order or contents:
            archive.writestr(name, contents[name])
        for name in add:
            archive.writestr(name, b"content")
    return buffer.getvalue()


def reordered():
    names = list(members(GOOD))
    return repacked([names[0], *reversed(names[1:])])


def bomb():
    contents = members(GOOD)
    contents["experts/0.joblib"] = b"\0" * (80 * 2**20)
    return zipped(contents, compress=9)


def bomb_of_lies(size=50 * 2**20):
    """A member that inflates to more than both of its headers say."""
    content = zipped(members(GOOD) | {"experts/0.joblib": b"\0" * size}, compress=9)
    honest, lie = (
        struct.pack("<I", size),
        struct.pack("<I", len(members(GOOD)["experts/0.joblib"])),
    )
    local = Archive(io.BytesIO(content)).names["experts/0.joblib"].header_offset + 22
    central = content.rindex(b"experts/0.joblib") - 46 + 24
    for where in (local, central):
        assert content[where : where + 4] == honest
        content = content[:where] + lie + content[where + 4 :]
    return content


def overlapping():
    """Two entries of the central directory that refer to the same bytes."""
    content = GOOD
    start = content.index(b"PK\x01\x02")
    directory = content[start:]
    twin = directory.replace(b"experts/1.joblib", b"experts/2.joblib")
    entry = twin.index(b"PK\x01\x02", twin.index(b"experts/0.joblib"))
    end = directory.index(b"PK\x05\x06")
    size = end + len(twin[entry:end])
    count = struct.pack("<2H", len(members(GOOD)) + 1, len(members(GOOD)) + 1)
    tail = b"PK\x05\x06" + bytes(4) + count + struct.pack("<2IH", size, start, 0)
    return content[:start] + directory[:end] + twin[entry:end] + tail


def encrypted():
    """A central directory that says that a member is encrypted."""
    where = GOOD.index(b"PK\x01\x02", GOOD.index(b"PK\x01\x02") + 4)
    return flipped(GOOD, where + 8)


NAMES = list(members(GOOD))
STRANGER = [("manifest.json", b'{"format": "shipping"}')]
HASH = {"sha256": "0" * 64}

FAULTS = {
    "empty": (b"", NotABundleError, "empty"),
    "text": (b"hello, world, I am no bundle", NotABundleError, "right file"),
    "pickle": (pickle.dumps([1, 2]), NotABundleError, "joblib.load"),
    "one byte": (b"P", NotABundleError, "right file"),
    "other zip": (other_zip(), NotABundleError, "no manifest.json"),
    "skops file": (other_zip(["schema.json"]), NotABundleError, "skops.io.load"),
    "other manifest": (zipped(STRANGER), NotABundleError, "something else"),
    "truncated": (GOOD[:-1], TruncatedBundleError, "cut short"),
    "half": (GOOD[: len(GOOD) // 2], TruncatedBundleError, "cut short"),
    "only the start": (GOOD[:10], TruncatedBundleError, "cut short"),
    "appended": (GOOD + b"x", DamagedBundleError, "appended"),
    "comment": (GOOD[:-2] + b"\1\0x", DamagedBundleError, "appended"),
    "two bundles": (GOOD + GOOD, DamagedBundleError, "table of contents|between|starts"),
    "prepended": (b"PK\x03\x04" + GOOD, DamagedBundleError, "starts at byte 4"),
    "flipped in an expert": (
        flipped(GOOD, position(GOOD, "experts/0.joblib") + 100),
        DamagedBundleError,
        "SHA-256 of experts/0.joblib",
    ),
    "flipped in the state": (
        flipped(GOOD, position(GOOD, "state.json") + 100),
        DamagedBundleError,
        "SHA-256 of state.json",
    ),
    "flipped in an array": (
        flipped(GOOD, position(GOOD, "state/gate_/coef_.npy") + 130),
        DamagedBundleError,
        "SHA-256 of state/gate_/coef_.npy",
    ),
    "flipped in the manifest": (
        flipped(GOOD, position(GOOD, "manifest.json") + 100),
        DamagedBundleError,
        "checksum of manifest.json",
    ),
    "flipped in a header": (flipped(GOOD, 32), DamagedBundleError, "header of manifest.json"),
    "flipped in a deflated member": (
        flipped(COMPRESSED, position(COMPRESSED, "experts/0.joblib") + 20),
        DamagedBundleError,
        "experts/0.joblib",
    ),
    "encrypted": (encrypted(), DamagedBundleError, "in a way"),
    "other compression": (repacked(method=zipfile.ZIP_BZIP2), DamagedBundleError, "in a way"),
    "other content": (
        changed("state.json", b"{}"),
        DamagedBundleError,
        "state.json has 2 bytes",
    ),
    "overlap": (overlapping(), DamagedBundleError, "overlap|between"),
    "manifest is no JSON": (changed("manifest.json", b"{"), DamagedBundleError, "valid JSON"),
    "manifest is deep": (
        changed("manifest.json", b"[" * 10**6),
        DamagedBundleError,
        "valid JSON",
    ),
    "manifest has a key twice": (
        changed("manifest.json", b'{"format": "skmoe bundle", "format": 1}'),
        DamagedBundleError,
        "repeated",
    ),
    "manifest lacks members": (edited(members=None), DamagedBundleError, "'members'"),
    "manifest lies about a hash": (
        with_manifest(GOOD, lambda m: m["members"][3].update(HASH)),
        DamagedBundleError,
        "SHA-256",
    ),
    "manifest lies about a size": (
        with_manifest(GOOD, lambda m: m["members"][3].update(size=10**6)),
        DamagedBundleError,
        "in place of 1000000",
    ),
    "state is no model": (
        with_manifest(GOOD, lambda m: None, **{"state.json": b"[1, 2]"}),
        ModelKindError,
        "holds a builtins.list",
    ),
    "twice": (
        zipped([*members(GOOD).items(), ("state.json", b"{}")]),
        DuplicateMemberError,
        "twice",
    ),
    "missing": (repacked(NAMES[:-1]), MemberListError, NAMES[-1]),
    "additional": (repacked(add=["virus.exe"]), MemberListError, "virus.exe"),
    "reordered": (reordered(), MemberOrderError, "order"),
    "manifest is last": (repacked(NAMES[::-1]), MemberOrderError, "first"),
    "path upwards": (repacked(add=["../../etc/passwd"]), UnsafePathError, "passwd"),
    "absolute path": (repacked(add=["/etc/passwd"]), UnsafePathError, "passwd"),
    "drive": (repacked(add=["C:/windows"]), UnsafePathError, "windows"),
    "backslash": (repacked(add=["..\\up"]), UnsafePathError, "up"),
    "bomb": (bomb(), BundleSizeError, "zip bomb"),
    "bomb of lies": (bomb_of_lies(), DamagedBundleError, "bytes in place of"),
    "newer": (edited(format_version=2), FormatVersionError, "Upgrade skmoe"),
    "version zero": (edited(format_version=0), DamagedBundleError, "format version"),
    "version is text": (edited(format_version="1"), DamagedBundleError, "format version"),
    "gate": (edited(model={"class": "skmoe.SoftmaxGate"}), ModelKindError, "no mixture"),
    "other library": (edited(model={"class": "os.system"}), ModelKindError, "no mixture"),
    "unknown class": (edited(model={"class": "skmoe.Oracle"}), ModelKindError, "upgrade"),
    "other mixture": (
        edited(model={"class": "skmoe.MixtureOfExpertsClassifier"}),
        ModelKindError,
        "promises",
    ),
    "unknown payload": (edited(payload="onnx"), ModelKindError, "onnx"),
}
# Only these are found when all bytes are as they were promised: the experts have been built.
LATE = {"state is no model", "other mixture"}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_has_its_error(fault):
    content, error, message = FAULTS[fault]
    with pytest.raises(error, match=message) as caught:
        load(content)
    assert type(caught.value) is error
    assert str(caught.value)[-1] != " " and len(str(caught.value)) > 40
    assert UNPICKLED == [] or fault in LATE


@pytest.mark.parametrize("fault", [name for name in FAULTS if name not in LATE])
def test_verify_finds_what_load_finds(fault, tmp_path, capsys):
    content, error, _ = FAULTS[fault]
    (tmp_path / "model.skmoe").write_bytes(content)
    if error is ModelKindError:  # the bytes are as they were written
        verify(tmp_path / "model.skmoe")
        return
    with pytest.raises(error):
        verify(tmp_path / "model.skmoe")
    assert main(["verify", str(tmp_path / "model.skmoe")]) == 1
    assert error.__name__ in capsys.readouterr().err


def test_good_bundles_are_good():
    for content in (GOOD, COMPRESSED, SIGNED):
        assert_same(MODEL, load(content), X)
        assert UNPICKLED
        UNPICKLED.clear()
        verify(io.BytesIO(content))
        assert UNPICKLED == []


def test_threads_change_nothing(monkeypatch):
    monkeypatch.setattr("skmoe.io._writer.WORTH_A_THREAD", 0)
    monkeypatch.setattr("skmoe.io._bundle.WORTH_THREADS", 0)
    assert saved(MODEL) == GOOD and saved(MODEL, compress=6) == COMPRESSED
    assert_same(MODEL, load(GOOD), X)
    content, error, message = FAULTS["flipped in an expert"]
    with pytest.raises(error, match=message):
        load(content)
    assert UNPICKLED == []


def test_a_bomb_is_not_inflated():
    """Neither the honest nor the lying bomb costs the memory that it asks for."""
    import tracemalloc

    for content, error, _ in (FAULTS["bomb"], FAULTS["bomb of lies"]):
        tracemalloc.start()
        with pytest.raises(error):
            load(content)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 5 * 2**20


def test_errors_can_be_pickled():
    error = UntrustedPayloadError("message", ("a.B",))
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == "message" and again.types == ("a.B",)


def test_64_bit_records(monkeypatch):
    """The records for more than 2 GiB or 65,535 members, at sizes that fit in a test."""
    monkeypatch.setattr("zipfile.ZIP64_LIMIT", 10_000)
    monkeypatch.setattr("zipfile.ZIP_FILECOUNT_LIMIT", 3)
    sizes = {"a": 9_000, "b": 12_000, "c": 5, "d": 10**6}
    contents = {"manifest.json": b"{}"} | {name: name.encode() * n for name, n in sizes.items()}
    for compress in (0, 6):
        content = zipped(contents, compress)
        assert b"PK\x06\x06" in content and b"PK\x06\x07" in content
        archive = Archive(io.BytesIO(content))
        archive.check_layout()
        assert {m.name: archive.read(m) for m in archive.members} == contents
        assert not any(archive.data_offset(m) % ALIGNMENT for m in archive.members)


# lazy experts -----------------------------------------------------------------------------------


def test_lazy_experts_are_verified_before_they_are_unpickled(tmp_path):
    path = tmp_path / "model.skmoe"
    path.write_bytes(flipped(GOOD, position(GOOD, "experts/1.joblib") + 100))
    UNPICKLED.clear()
    model = skmoe.load(path, lazy=True)
    for _ in range(2):
        with pytest.raises(DamagedBundleError, match="SHA-256 of experts/1.joblib"):
            model.experts_[1].predict(X)
    with pytest.raises(RuntimeError, match="expert_1.*SHA-256") as caught:
        model.predict(X)  # the mixture says which expert it was
    assert isinstance(caught.value.__cause__, DamagedBundleError)
    assert len(UNPICKLED) == 2  # the parameter `experts`, and expert 0
    path.write_bytes(flipped(GOOD, position(GOOD, "state.json") + 100))
    with pytest.raises(DamagedBundleError, match="SHA-256 of state.json"):
        skmoe.load(path, lazy=True)


# newer formats ----------------------------------------------------------------------------------


def test_inspect_reads_newer_formats_as_far_as_it_can(tmp_path, capsys):
    newer = edited(format_version=7, experts={"count": 2}, golden=[1], novelty={"a": 1})
    path = tmp_path / "model.skmoe"
    path.write_bytes(newer)
    manifest = skmoe.read_manifest(path)
    assert manifest.format_version == 7
    assert manifest.model["class"] == "skmoe.MixtureOfExpertsRegressor"
    assert manifest.experts == [] and manifest.golden == {}
    assert manifest.entries["novelty"] == {"a": 1}
    assert "format 7 (this skmoe knows up to 1" in repr(manifest)
    assert main(["inspect", str(path)]) == 0
    assert "format 7" in capsys.readouterr().out
    assert main(["inspect", "--json", str(path)]) == 0
    assert json.loads(capsys.readouterr().out) == manifest.entries
    # Even with members that this release does not know how to read.
    path.write_bytes(repacked(method=zipfile.ZIP_STORED, add=["a", "b"]))
    assert skmoe.read_manifest(path).payload == "joblib"


def test_a_reader_that_has_seen_enough(tmp_path):
    path = tmp_path / "model.skmoe"
    path.write_bytes(GOOD)
    command = [sys.executable, "-m", "skmoe", "inspect", "--json", str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()  # before it can have written anything, as ``head -0`` would
    assert process.stderr.read().decode() == ""
    assert process.wait() == 0


def test_the_summary_plays_no_tricks_with_the_terminal():
    def edit(manifest):
        manifest["metadata"] = {"note": "\x1b[2J\r\nverified"}
        manifest["model"]["class"] = "a\nb"

    text = repr(skmoe.read_manifest(io.BytesIO(with_manifest(GOOD, edit))))
    assert "\x1b" not in text and "\r" not in text and "a?b" in text
