"""Signatures, refusals of pickles, and golden rows: what is trusted, and how far."""

import hmac
import io
import sys

import bundle_models
import joblib
import numpy as np
import pytest
from bundle_bytes import GOOD, KEY, MODEL, SIGNED, load, members, with_manifest, zipped
from bundle_models import (
    UNPICKLED,
    Telltale,
    X,
    Y,
    assert_same,
    fitted,
    regressor,
    saved,
)

import skmoe
from skmoe.__main__ import main
from skmoe.io import (
    BundleWarning,
    GoldenRowsError,
    PayloadError,
    SignatureError,
    UntrustedPayloadError,
    _golden,
    verify,
)

# trust ------------------------------------------------------------------------------------------


def test_signature():
    assert_same(MODEL, load(SIGNED, key=KEY), X)
    assert_same(MODEL, load(SIGNED), X)
    verify(io.BytesIO(SIGNED), key=KEY)
    assert skmoe.read_manifest(io.BytesIO(SIGNED)).signed
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


@pytest.mark.parametrize("trusted", ["a.B", 1, [b"a.B"]])
def test_trusted_is_a_list_of_names(trusted):
    with pytest.raises(TypeError, match="trusted must be"):
        load(GOOD, trusted=trusted)
    assert UNPICKLED == []


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
