"""Everything that can be wrong with a bundle has its own error, and nothing is unpickled before.

The expert used here notes when it is unpickled.
"""

import copy
import hashlib
import hmac
import io
import json
import pickle
import random
import struct
import sys
import zipfile
import zlib

import bundle_models
import joblib
import numpy as np
import pytest
from bundle_models import (
    LABELS,
    UNPICKLED,
    Telltale,
    X,
    Y,
    assert_same,
    classifier,
    fitted,
    regressor,
    saved,
)

import skmoe
from skmoe.__main__ import main
from skmoe.io import (
    BundleError,
    BundleSizeError,
    BundleWarning,
    DamagedBundleError,
    DuplicateMemberError,
    FormatVersionError,
    GoldenRowsError,
    MemberListError,
    MemberOrderError,
    ModelKindError,
    NotABundleError,
    PayloadError,
    SignatureError,
    TruncatedBundleError,
    UnsafePathError,
    UntrustedPayloadError,
    _golden,
    _state,
    verify,
)
from skmoe.io._archive import Archive
from skmoe.io._json import to_json
from skmoe.io._zip_writer import archive_bytes, pack

KEY = b"0123456789abcdef0123456789abcdef"
MODEL = regressor(Telltale()).fit(X, Y)
GOOD = saved(MODEL)
COMPRESSED = saved(MODEL, compress=6)
SIGNED = saved(MODEL, key=KEY)


def members(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(contents, compress=0):
    """Archive of (name, content) pairs in the layout of bundles."""
    pairs = contents.items() if isinstance(contents, dict) else contents
    return b"".join(archive_bytes([pack(name, content, compress) for name, content in pairs]))


def with_manifest(content, edit, **contents):
    """Bundle with other contents, and a manifest that agrees with them before it is edited."""
    new = members(content) | contents
    manifest = json.loads(new["manifest.json"])
    for entry in manifest["members"]:
        own = new[entry["name"]]
        entry["size"], entry["sha256"] = len(own), hashlib.sha256(own).hexdigest()
    edit(manifest)
    return zipped(new | {"manifest.json": to_json(manifest)})


def edited(**entries):
    return with_manifest(GOOD, lambda manifest: manifest.update(entries))


def changed(name, content, **more):
    """Bundle in which one member differs from what the manifest says."""
    return zipped(members(GOOD) | {name: content})


def flipped(content, where, bit=1):
    return content[:where] + bytes([content[where] ^ bit]) + content[where + 1 :]


def position(content, name):
    archive = Archive(io.BytesIO(content))
    return archive.data_offset(archive.names[name])


def load(content, **options):
    UNPICKLED.clear()
    return skmoe.load(io.BytesIO(content), **options)


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
    parts = [pack(name, content, 0) for name, content in members(GOOD).items()]
    content = b"".join(archive_bytes(parts))
    start = content.index(b"PK\x01\x02")
    directory = content[start:]
    twin = directory.replace(b"experts/1.joblib", b"experts/2.joblib")
    entry = twin.index(b"PK\x01\x02", twin.index(b"experts/0.joblib"))
    end = directory.index(b"PK\x05\x06")
    size = end + len(twin[entry:end])
    count = struct.pack("<2H", len(parts) + 1, len(parts) + 1)
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
        "holds a list",
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
    """The records for more than 4 GiB or 65,535 members, at sizes that fit in a test."""
    limit = 0x30201
    monkeypatch.setattr("skmoe.io._zip_writer.LIMIT", limit)
    monkeypatch.setattr("skmoe.io._zip_writer.COUNT_LIMIT", 3)
    sizes = {"a": limit - 1, "b": limit + 1, "c": 5, "d": 10**6}
    contents = {"manifest.json": b"{}"} | {name: name.encode() * n for name, n in sizes.items()}
    content = zipped(contents).replace(struct.pack("<I", limit), struct.pack("<I", 0xFFFFFFFF))
    # The number of members is in 16 bits: 3 stands for "see the 64-bit record" there.
    monkeypatch.undo()
    content = content[:-14] + b"\xff\xff\xff\xff" + content[-10:]
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == contents
    archive = Archive(io.BytesIO(content))
    archive.check_layout()
    assert {m.name: archive.read(m) for m in archive.members} == contents


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


# trust ------------------------------------------------------------------------------------------


def test_signature():
    assert_same(MODEL, load(SIGNED, key=KEY), X)
    assert_same(MODEL, load(SIGNED), X)
    verify(io.BytesIO(SIGNED), key=KEY)
    assert skmoe.inspect(io.BytesIO(SIGNED)).signed
    manifest = members(SIGNED)["manifest.json"]
    expected = hmac.new(KEY, manifest, "sha256").hexdigest().encode()
    assert members(SIGNED)["manifest.hmac"] == expected


def resigned(key):
    contents = members(SIGNED)
    contents["manifest.hmac"] = hmac.new(key, contents["manifest.json"], "sha256").digest().hex()
    contents["manifest.hmac"] = contents["manifest.hmac"].encode()
    return zipped(contents)


def replaced_expert():
    """An attacker's expert, in a bundle that is consistent but for the signature."""
    evil = io.BytesIO()
    joblib.dump(Telltale(), evil)
    return with_manifest(SIGNED, lambda m: None, **{"experts/0.joblib": evil.getvalue()})


BAD_SIGNATURES = {
    "never signed": (GOOD, "not signed"),
    "other key": (resigned(KEY[::-1]), "does not belong"),
    "other expert": (replaced_expert(), "does not belong"),
    "empty": (zipped(members(SIGNED) | {"manifest.hmac": b""}), "does not belong"),
    "no text": (zipped(members(SIGNED) | {"manifest.hmac": b"\xff" * 64}), "does not belong"),
    "stripped": (
        zipped({n: c for n, c in members(SIGNED).items() if n != "manifest.hmac"}),
        "not signed",
    ),
}


@pytest.mark.parametrize("fault", BAD_SIGNATURES)
def test_signatures_that_are_refused(fault, tmp_path, capsys):
    content, message = BAD_SIGNATURES[fault]
    for function in (load, lambda content, key: verify(io.BytesIO(content), key=key)):
        with pytest.raises(SignatureError, match=message):
            function(content, key=KEY)
    assert UNPICKLED == []
    (tmp_path / "key").write_bytes(KEY)
    (tmp_path / "model.skmoe").write_bytes(content)
    command = ["verify", str(tmp_path / "model.skmoe"), "--key-file", str(tmp_path / "key")]
    assert main(command) == 1
    assert "SignatureError" in capsys.readouterr().err


@pytest.mark.parametrize("trusted", [False, ["sklearn.linear_model._ridge.Ridge"], []])
def test_pickles_are_refused_without_trust(trusted, tmp_path):
    with pytest.raises(UntrustedPayloadError, match="pickles"):
        load(GOOD, trusted=trusted)
    (tmp_path / "model.skmoe").write_bytes(GOOD)
    with pytest.raises(UntrustedPayloadError, match="pickles"):
        skmoe.load(tmp_path / "model.skmoe", trusted=trusted, lazy=True)
    assert UNPICKLED == []
    assert_same(MODEL, load(GOOD, trusted=True), X)


def test_payload_of_a_module_that_is_missing(monkeypatch):
    model = regressor(Telltale()).fit(X, Y)
    content = saved(model)
    monkeypatch.delattr(bundle_models, "Telltale")
    with pytest.raises(PayloadError, match="experts/0.joblib is intact.*own modules included"):
        load(content)


# versions and golden rows -----------------------------------------------------------------------


def other_versions(content=GOOD):
    return with_manifest(content, lambda m: m["versions"].update(numpy="1.0", python="2.7.1"))


def test_other_versions_are_named_with_the_finding():
    with pytest.warns(BundleWarning, match=r"numpy 1.0 -> .*python 2.7.1 -> .*the last bit"):
        load(other_versions())
    with pytest.warns(BundleWarning, match="no golden rows to compare"):
        load(other_versions(saved(MODEL, golden_rows=False)))


def nudged(amount):
    def edit(manifest):
        values = manifest["golden"]["predictions"]["values"]
        values[0] += amount * max(map(abs, values))

    return edit


def test_predictions_that_moved():
    with pytest.warns(BundleWarning, match="differ by .*e-09 .*another processor"):
        load(with_manifest(GOOD, nudged(1e-9)))
    for lazy_or_not in (1e-5, float("inf"), 1.0):
        with pytest.raises(GoldenRowsError, match="predicts something else"):
            load(with_manifest(GOOD, nudged(min(lazy_or_not, 1e300))))


def test_lazy_experts_replay_the_golden_rows(tmp_path):
    def edit(manifest):
        manifest["golden"]["experts"][1]["values"][0] += 1.0

    path = tmp_path / "model.skmoe"
    path.write_bytes(with_manifest(GOOD, edit))
    skmoe.load(path)
    model = skmoe.load(path, lazy=True)
    with pytest.raises(GoldenRowsError, match="expert 1 predicts something else"):
        model.experts_[1].predict(X)


def test_golden_rows_that_the_model_does_not_take():
    def edit(manifest):
        manifest["golden"]["rows"]["shape"] = [15, 1]

    with pytest.raises(GoldenRowsError, match="does not answer"):
        load(with_manifest(GOOD, edit))


@pytest.mark.parametrize(
    "before, after, expected",
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0),
        ([1.0, 4.0], [2.0, 4.0], 0.25),
        ([0.0, 0.0], [1.0, 0.0], 1.0),
        ([np.nan, 1.0], [np.nan, 1.0], 0.0),
        ([np.nan, 1.0], [1.0, 1.0], np.inf),
        ([np.inf, 1.0], [np.inf, 2.0], 1.0),
        ([np.inf, 1.0], [1.0, 1.0], np.inf),
        ([1.0, 1.0], [[1.0, 1.0]], np.inf),
    ],
)
def test_difference(before, after, expected):
    assert _golden.difference(_golden.numbers_to_record(before), np.array(after)) == expected


def test_a_model_whose_golden_rows_cannot_be_replayed_without_pandas(monkeypatch):
    model, frame = fitted("pandas")
    content = saved(model, golden_rows=frame)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.warns(BundleWarning, match="cannot be compared"):
        load(content)


# newer formats ----------------------------------------------------------------------------------


def test_inspect_reads_newer_formats_as_far_as_it_can(tmp_path, capsys):
    newer = edited(format_version=7, experts={"count": 2}, golden=[1], novelty={"a": 1})
    path = tmp_path / "model.skmoe"
    path.write_bytes(newer)
    manifest = skmoe.inspect(path)
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
    assert skmoe.inspect(path).payload == "joblib"


def test_the_summary_plays_no_tricks_with_the_terminal():
    def edit(manifest):
        manifest["metadata"] = {"note": "\x1b[2J\r\nverified"}
        manifest["model"]["class"] = "a\nb"

    text = repr(skmoe.inspect(io.BytesIO(with_manifest(GOOD, edit))))
    assert "\x1b" not in text and "\r" not in text and "a?b" in text


# what a hostile state can do ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["os.system", "sklearn.linear_model.Ridge", "skmoe.dump", "skmoe"]
)
def test_only_classes_of_skmoe_are_built(name):
    with pytest.raises((ValueError, AttributeError, ImportError)):
        _state.find_class(name)
    state = to_json({"instance": [name, {}]})
    with pytest.raises(DamagedBundleError, match="does not describe a model"):
        load(with_manifest(GOOD, lambda m: None, **{"state.json": state}))


def npy(dtype, shape, data=b""):
    header = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}}}".encode()
    header += b" " * (53 - len(header) % 64 + 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        npy("<f8", (10**12,)),
        npy("<f8", (-1,), b"12345678"),
        npy("<f8", (2,), b"12345678"),
        npy("|O", (1,), pickle.dumps([1])),
        b"\x93NUMPY\x09\x00",
    ],
)
def test_arrays_that_are_none(content):
    bundle = with_manifest(GOOD, lambda m: None, **{"state/gate_/coef_.npy": content})
    with pytest.raises(DamagedBundleError, match="does not describe a model"):
        load(bundle)


# fuzz -------------------------------------------------------------------------------------------


def mutated(content, rng):
    """Content with one to three random changes of bytes."""
    content = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        where, size = rng.randrange(len(content)), rng.choice([1, 2, 4, 30, 1000])
        kind = rng.randrange(7)
        if kind == 0:
            content[where] ^= 1 << rng.randrange(8)
        elif kind == 1:
            content[where] = rng.randrange(256)
        elif kind == 2:
            del content[where : where + size]
        elif kind == 3:
            content[where:where] = rng.randbytes(size)
        elif kind == 4:
            content[where:where] = content[where : where + size]
        elif kind == 5:
            content[where : where + size] = bytes(len(content[where : where + size]))
        else:
            del content[where:]
        if not content:
            break
    return bytes(content)


def headers(content, rng):
    """Content with a change in the records of the archive, where most mutations do not land."""
    records = [i for m in (b"PK\1\2", b"PK\3\4", b"PK\5\6") for i in occurrences(content, m)]
    where = rng.choice(records) + rng.randrange(46)
    return (
        content[:where]
        + bytes([rng.choice([0, 1, 255, rng.randrange(256)])])
        + (content[where + 1 :] if where < len(content) else b"")
    )


def occurrences(content, part):
    where = content.find(part)
    while where >= 0:
        yield where
        where = content.find(part, where + 1)


@pytest.mark.parametrize("rounds", [200, pytest.param(6000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["stored", "compressed", "signed"])
@pytest.mark.parametrize("mutate", [mutated, headers])
def test_random_changes_give_the_same_model_or_a_bundle_error(mutate, kind, rounds):
    content = {"stored": GOOD, "compressed": COMPRESSED, "signed": SIGNED}[kind]
    options = {"key": KEY} if kind == "signed" else {}
    rng = random.Random(f"{kind}{rounds}")
    refused = 0
    for _ in range(rounds):
        damaged = mutate(content, rng)
        for look in (skmoe.inspect, verify):
            try:
                repr(look(io.BytesIO(damaged)))
            except BundleError:
                pass
        try:
            model = load(damaged, **options)
        except BundleError:
            refused += 1
            assert UNPICKLED == []
        else:
            assert_same(MODEL, model, X[:3])
    assert rounds / 3 < refused  # many changes do harm


def other_value(value, rng):
    """Something else in place of a JSON value."""
    choices = [None, True, 0, -1, 10**30, 1.5, "", "x", "../x", [], {}, [value], {"dict": value}]
    return rng.choice(choices)


def other_entries(tree, rng):
    """A JSON tree with one random change."""
    tree = copy.deepcopy(tree)
    node, path = tree, []
    while isinstance(node, dict | list) and len(node) and (not path or rng.random() < 0.8):
        key = rng.choice(list(node)) if isinstance(node, dict) else rng.randrange(len(node))
        path.append((node, key))
        node = node[key]
    parent, key = path[-1]
    if rng.random() < 0.3:
        del parent[key]
    else:
        parent[key] = other_value(node, rng)
    return tree


CLASSIFIER = classifier().fit(X, LABELS)
PLAIN = saved(CLASSIFIER)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("rounds", [200, pytest.param(6000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("member", ["manifest.json", "state.json"])
def test_random_lies_with_right_hashes_give_a_model_or_a_bundle_error(member, rounds):
    """An attacker can make all checksums agree; without a key, that is."""
    rng = random.Random(f"{member}{rounds}")
    original = json.loads(members(PLAIN)[member])
    refused = 0
    for _ in range(rounds):
        lie = to_json(other_entries(original, rng))
        if member == "manifest.json":
            content = zipped(members(PLAIN) | {member: lie})
        else:
            content = with_manifest(PLAIN, lambda m: None, **{member: lie})
        try:
            repr(skmoe.inspect(io.BytesIO(content)))
            load(content)
        except BundleError:
            refused += 1
    assert rounds / 4 < refused


def test_checksums_are_not_all_that_protects():
    """The fuzz above would be blind if the archive's CRC caught everything."""
    content = flipped(GOOD, position(GOOD, "experts/0.joblib") + 100)
    crc = zlib.crc32(members_raw(content, "experts/0.joblib"))
    old = struct.pack("<I", zlib.crc32(members(GOOD)["experts/0.joblib"]))
    with pytest.raises(DamagedBundleError, match="SHA-256"):
        load(content.replace(old, struct.pack("<I", crc)))


def members_raw(content, name):
    archive = Archive(io.BytesIO(content))
    return archive.read(archive.names[name])
