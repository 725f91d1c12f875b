"""Bundles without pickles."""

import io
import json
import sys

import numpy as np
import pytest
from bundle_bytes import members, zipped
from bundle_models import NAMES, Telltale, X, Y, answers, differences, fitted, regressor, saved
from sklearn.linear_model import Ridge

import skmoe
from skmoe.io import ModelKindError, UntrustedPayloadError
from skmoe.io._payload import SkopsPayload, Source

pytest.importorskip("skops")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

# skops (0.16) does not keep what a RandomState was seeded with; its numbers are the same.
SEED = "SeedSequence'>"


def load(content, **options):
    return skmoe.load(io.BytesIO(content), **options)


def load_reviewed(content):
    """Load with the types that the refusal names, as a user does who has reviewed them."""
    try:
        return load(content)
    except UntrustedPayloadError as error:
        assert error.types and str(list(error.types)) in str(error)
        with pytest.raises(UntrustedPayloadError):
            load(content, trusted=list(error.types)[:-1])
        return load(content, trusted=list(error.types))


@pytest.mark.parametrize("name", NAMES)
def test_round_trip(name):
    model, rows = fitted(name)
    # Trees of neighbours count how often they are asked, so these are not.
    golden_rows = False if "neighbour" in name else rows
    content = saved(model, payload="skops", golden_rows=golden_rows)
    assert content == saved(model, payload="skops", golden_rows=golden_rows)
    loaded = load_reviewed(content)
    assert [d for d in differences(model, loaded) if not d.endswith(SEED)] == []
    ours, theirs = answers(model, rows), answers(loaded, rows)
    for answer in ours:
        np.testing.assert_array_equal(ours[answer], theirs[answer])


def test_no_pickle_is_touched(monkeypatch):
    model, _ = fitted("different experts")
    content = saved(model, payload="skops")
    types = ["sklearn.tree._tree.Tree"]  # which some releases of skops do not know

    def stop(*arguments, **options):
        raise AssertionError("unpickled")

    for module, name in [("joblib", "load"), ("pickle", "load"), ("pickle", "loads")]:
        monkeypatch.setattr(sys.modules[module], name, stop)
    assert load(content, trusted=types).n_experts_ == model.n_experts_
    ridges = saved(fitted("ridge")[0], payload="skops")
    assert load(ridges, trusted=False).n_experts_ == 2


def test_a_learned_density_needs_no_trust():
    """Its trees are arrays."""
    model = regressor(Ridge(), density="auto").fit(X, Y)
    assert model._density is not None
    loaded = load(saved(model, payload="skops"), trusted=False)
    np.testing.assert_array_equal(loaded.predict_quantiles(X), model.predict_quantiles(X))


def test_types_that_skops_does_not_know_are_reported_at_once():
    content = saved(regressor([("a", Telltale()), ("b", Telltale())]).fit(X, Y), payload="skops")
    with pytest.raises(UntrustedPayloadError, match="Review them") as caught:
        load(content)
    assert caught.value.types == ("bundle_models.Telltale",)
    assert load(content, trusted=True).n_experts_ == 2
    assert load(content, trusted=["bundle_models.Telltale"]).n_experts_ == 2


def test_no_name_of_a_member_escapes_the_audit():
    """Experts are audited because they are experts, and not because of a suffix."""
    model = regressor([("a", Telltale()), ("b", Ridge())]).fit(X, Y)
    model.experts = None  # nothing but the expert needs trust
    contents = members(saved(model, payload="skops"))
    contents["experts/0.x"] = contents.pop("experts/0.skops")
    manifest = json.loads(contents["manifest.json"])
    for entry in manifest["members"]:
        if entry["name"] == "experts/0.skops":
            entry["name"] = "experts/0.x"
    manifest["experts"][0]["member"] = "experts/0.x"
    order = ["manifest.json", *(entry["name"] for entry in manifest["members"])]
    contents["manifest.json"] = json.dumps(manifest).encode()
    hidden = zipped({name: contents[name] for name in order})
    with pytest.raises(UntrustedPayloadError) as caught:
        load(hidden)
    assert caught.value.types == ("bundle_models.Telltale",)
    payload = SkopsPayload()
    payload.check_trust({})
    with pytest.raises(UntrustedPayloadError):
        payload.load(Source("experts/0.x", contents["experts/0.x"]))


def test_lazy_experts_are_audited_too(tmp_path):
    model = regressor([("a", Telltale()), ("b", Telltale())]).fit(X, Y)
    model.experts = None  # nothing but the experts needs trust
    skmoe.dump(model, tmp_path / "model.skmoe", payload="skops")
    lazy = skmoe.load(tmp_path / "model.skmoe", lazy=True)
    with pytest.raises(UntrustedPayloadError):
        lazy.experts_[0].predict(X)
    lazy = skmoe.load(tmp_path / "model.skmoe", lazy=True, trusted=True)
    assert lazy.experts_[0].predict(X).shape == (len(X),)


def test_what_skops_cannot_write_is_named(monkeypatch):
    def refuse(value):
        raise TypeError("unsupported")

    monkeypatch.setattr("skops.io.dumps", refuse)
    model, _ = fitted("ridge")
    with pytest.raises(ModelKindError, match="expert_0.*payload='joblib'"):
        saved(model, payload="skops")


def test_mmap_mode_needs_joblib(tmp_path):
    skmoe.dump(fitted("ridge")[0], tmp_path / "model.skmoe", payload="skops")
    with pytest.raises(ValueError, match="payload='joblib'"):
        skmoe.load(tmp_path / "model.skmoe", mmap_mode="r")


def test_without_skops_the_error_names_the_extra(monkeypatch):
    content = saved(fitted("ridge")[0], payload="skops")
    monkeypatch.setitem(sys.modules, "skops.io", None)
    for call in (lambda: load(content), lambda: saved(fitted("ridge")[0], payload="skops")):
        with pytest.raises(ImportError, match=r"pip install 'skmoe\[skops\]'"):
            call()
