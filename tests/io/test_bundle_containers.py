"""Estimators that contain mixtures: pipelines, searches, calibrated classifiers, ensembles."""

import io

import numpy as np
import pytest
from bundle_bytes import with_manifest
from bundle_models import LABELS, X, Y, classifier, regressor, saved
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import BaggingRegressor, StackingRegressor, VotingClassifier
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skmoe
from skmoe.io import ModelKindError, UntrustedPayloadError, verify

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

GRID = {"overlap": [0.1, 1.0]}

# name -> (unfitted container, target, how many fitted mixtures it will hold)
CONTAINERS = {
    "pipeline": (make_pipeline(StandardScaler(), regressor()), Y, 1),
    "pipeline of classes": (make_pipeline(StandardScaler(), classifier()), LABELS, 1),
    "search": (GridSearchCV(regressor(), GRID, cv=2), Y, 1),
    "search in a pipeline": (
        make_pipeline(StandardScaler(), GridSearchCV(classifier(), GRID, cv=2)),
        LABELS,
        1,
    ),
    "calibrated": (CalibratedClassifierCV(classifier(GaussianNB()), cv=2), LABELS, 2),
    "bagging": (BaggingRegressor(regressor(), n_estimators=2, random_state=0), Y, 2),
    "stacking": (StackingRegressor([("m", regressor()), ("r", Ridge())], cv=2), Y, 1),
    "hard vote": (VotingClassifier([("m", classifier()), ("b", GaussianNB())]), LABELS, 1),
    "target": (TransformedTargetRegressor(regressor(), transformer=StandardScaler()), Y, 1),
    "several outputs": (MultiOutputRegressor(regressor()), np.column_stack([Y, -Y]), 2),
}


@pytest.fixture(scope="module", params=CONTAINERS)
def container(request):
    model, y, n_mixtures = CONTAINERS[request.param]
    return model.fit(X, y), n_mixtures


def test_round_trip(container, tmp_path):
    model, n_mixtures = container
    path = tmp_path / "model.skmoe"
    skmoe.dump(model, path, golden_rows=X)
    manifest = verify(path)
    assert len(manifest.mixtures) == n_mixtures and type(model).__name__ in repr(manifest)
    for mixture in manifest.mixtures:
        assert mixture["class"].startswith("skmoe.Mixture")
        assert mixture["training"]["rows"] > 0
        assert "contains" in repr(manifest)
    for options in ({}, {"lazy": True}, {"mmap_mode": "r"}):
        loaded = skmoe.load(path, **options)
        assert type(loaded) is type(model)
        np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    with pytest.raises(UntrustedPayloadError):
        skmoe.load(path, trusted=False)


def test_made_up_golden_rows(container):
    content = saved(container[0])
    assert skmoe.read_manifest(io.BytesIO(content)).golden["source"] == "made up"
    skmoe.load(io.BytesIO(content))


def test_a_search_is_stored_whole_or_by_its_best():
    search = CONTAINERS["search"][0].fit(X, Y)
    loaded = skmoe.load(io.BytesIO(saved(search)))
    assert list(loaded.cv_results_) == list(search.cv_results_)
    best = skmoe.load(io.BytesIO(saved(search.best_estimator_)))
    assert type(best) is skmoe.MixtureOfExpertsRegressor


def test_skops():
    pytest.importorskip("skops")
    model = CONTAINERS["pipeline"][0].fit(X, Y)
    loaded = skmoe.load(io.BytesIO(saved(model, payload="skops")), trusted=True)
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))


@pytest.mark.parametrize(
    "model",
    [
        Ridge().fit(X, Y),
        make_pipeline(StandardScaler(), LinearRegression()).fit(X, Y),
        GridSearchCV(regressor(), GRID),
        {"a": 1},
    ],
    ids=["ridge", "pipeline", "search that was not fitted", "dict"],
)
def test_what_contains_no_fitted_mixture_is_refused(model):
    with pytest.raises(ModelKindError, match="without; use joblib.dump"):
        skmoe.dump(model, io.BytesIO())


def test_a_container_is_what_the_manifest_promises():
    content = saved(CONTAINERS["pipeline"][0].fit(X, Y))

    def lie(manifest):
        manifest["model"]["class"] = "sklearn.linear_model._ridge.Ridge"

    with pytest.raises(ModelKindError, match="promises"):
        skmoe.load(io.BytesIO(with_manifest(content, lie)))
