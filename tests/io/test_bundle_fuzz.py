"""Random and deliberate damage: load gives the same model or a `BundleError`, nothing else."""

import copy
import io
import json
import pickle
import random
import struct
import zlib

import pytest
from bundle_bytes import (
    COMPRESSED,
    GOOD,
    KEY,
    MODEL,
    SIGNED,
    flipped,
    load,
    members,
    position,
    with_manifest,
    zipped,
)
from bundle_models import (
    LABELS,
    UNPICKLED,
    X,
    assert_same,
    classifier,
    saved,
)

import skmoe
from skmoe.io import BundleError, DamagedBundleError, _state, verify
from skmoe.io._archive import Archive
from skmoe.io._json import to_json

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


def test_scalars_are_numbers_and_texts():
    state = to_json({"scalar": ["V1", 10**12]})  # in NumPy, a request for so many bytes
    with pytest.raises(DamagedBundleError, match="a scalar of type"):
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


@pytest.mark.parametrize("rounds", [200, pytest.param(1500, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["stored", "compressed", "signed"])
@pytest.mark.parametrize("mutate", [mutated, headers])
def test_random_changes_give_the_same_model_or_a_bundle_error(mutate, kind, rounds):
    content = {"stored": GOOD, "compressed": COMPRESSED, "signed": SIGNED}[kind]
    options = {"key": KEY} if kind == "signed" else {}
    rng = random.Random(f"{kind}{rounds}")
    refused = 0
    for _ in range(rounds):
        damaged = mutate(content, rng)
        for look in (skmoe.read_manifest, verify):
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
@pytest.mark.parametrize("rounds", [200, pytest.param(1500, marks=pytest.mark.slow)])
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
            repr(skmoe.read_manifest(io.BytesIO(content)))
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
