"""Each kind of estimator as a graph, held against what it says itself."""

import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR, NuSVC, NuSVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils.fixes import parse_version

runtime = pytest.importorskip("onnxruntime", reason="the extra 'onnx' is not installed")
pytest.importorskip("skl2onnx", reason="the extra 'onnx' is not installed")

from skmoe.onnx._errors import ConversionError  # noqa: E402
from skmoe.onnx._estimators import estimator_output  # noqa: E402
from skmoe.onnx._features import declare_features, element_type  # noqa: E402
from skmoe.onnx._graph import Graph  # noqa: E402
from skmoe.onnx._register import register_converters  # noqa: E402

RNG = np.random.RandomState(0)
SCALE, CENTRE = [1.0, 10.0, 100.0, 0.1], [0.0, 50.0, 1000.0, 0.0]
X = RNG.normal(size=(200, 4)) * SCALE + CENTRE
Y = np.sin(X[:, 0]) + X[:, 1] / 10 + 0.1 * RNG.normal(size=200)
LABELS = np.array(["low", "middle", "high"])[np.digitize(Y, np.quantile(Y, [0.3, 0.7]))]
NEW = (RNG.normal(size=(2000, 4)) * SCALE + CENTRE).astype(np.float32)
GAPS = NEW.copy()
GAPS[RNG.uniform(size=GAPS.shape) < 0.2] = np.nan
X_GAPS = np.where(RNG.uniform(size=X.shape) < 0.2, np.nan, X)


def scaled(estimator):
    return make_pipeline(StandardScaler(), estimator)


def boosted(kind, **parameters):
    return kind(max_iter=10, min_samples_leaf=5, **parameters)


ESTIMATORS = {
    "linear": LinearRegression(),
    "ridge": scaled(Ridge()),
    "tree": DecisionTreeRegressor(),
    "forest": RandomForestRegressor(10),
    "extra trees": ExtraTreesRegressor(10),
    "histogram boosting": boosted(HistGradientBoostingRegressor),
    "gradient boosting": GradientBoostingRegressor(n_estimators=10),
    "boosting from zero": GradientBoostingRegressor(n_estimators=10, init="zero"),
    "neighbours": scaled(KNeighborsRegressor()),
    "near neighbours": scaled(KNeighborsRegressor(weights="distance")),
    "svm": scaled(SVR()),
    "linear svm": scaled(SVR(kernel="linear")),
    "polynomial svm": scaled(NuSVR(kernel="poly", coef0=1.0)),
    "sigmoid svm": scaled(SVR(kernel="sigmoid", gamma=0.1)),
    "mlp": scaled(MLPRegressor(hidden_layer_sizes=(5,), max_iter=20)),
    "constant": DummyRegressor(),
    "frozen": FrozenEstimator(LinearRegression()),
    "search": GridSearchCV(Ridge(), {"alpha": [1.0, 10.0]}, cv=2),
    "logistic": scaled(LogisticRegression()),
    "class tree": DecisionTreeClassifier(),
    "class forest": RandomForestClassifier(10),
    "extra class trees": ExtraTreesClassifier(10),
    "class histogram boosting": boosted(HistGradientBoostingClassifier),
    "class gradient boosting": GradientBoostingClassifier(n_estimators=10),
    "class neighbours": scaled(KNeighborsClassifier()),
    "near class neighbours": scaled(KNeighborsClassifier(weights="distance")),
    "class svm": scaled(CalibratedClassifierCV(SVC(), ensemble=False, cv=2)),
    "class nu svm": scaled(CalibratedClassifierCV(NuSVC(nu=0.3, kernel="poly"), cv=2)),
    "scaled inside": CalibratedClassifierCV(scaled(SVC()), cv=2),
    "isotonic svm": scaled(CalibratedClassifierCV(SVC(), method="isotonic", cv=2)),
    "calibrated boosting": CalibratedClassifierCV(boosted(HistGradientBoostingClassifier), cv=2),
    "class mlp": scaled(MLPClassifier(hidden_layer_sizes=(5,), max_iter=20)),
    "bayes": GaussianNB(),
    "most frequent": DummyClassifier(strategy="most_frequent"),
}


def outputs(estimator, rows):
    """What the graph of an estimator says of rows, and what itself says."""
    register_converters()
    graph = Graph()
    output = estimator_output(graph, estimator, declare_features(graph, rows, rows.shape[1]))
    graph.declare_output("output", output, element_type("float64"), None)
    model = graph.model("one")
    session = runtime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    found = session.run(None, {"X": rows})[0]
    answer = estimator.predict_proba if is_classifier(estimator) else estimator.predict
    return found, np.asarray(answer(rows.astype(np.float64))).reshape(found.shape)


def relative(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimators_say_the_same(name):
    if name == "isotonic svm" and parse_version(runtime.__version__) < parse_version("1.20"):
        pytest.skip("this onnxruntime gives two nodes that it makes itself the same name")
    estimator = clone(ESTIMATORS[name])
    if "random_state" in estimator.get_params():
        estimator.set_params(random_state=0)
    if isinstance(estimator, FrozenEstimator):
        estimator.estimator.fit(X, Y)
    estimator.fit(X, LABELS if is_classifier(estimator) else Y)
    assert relative(*outputs(estimator, NEW)) <= 1e-6


@pytest.mark.parametrize(
    "estimator",
    [
        DecisionTreeRegressor(max_depth=5),
        RandomForestClassifier(5, random_state=0),
        boosted(HistGradientBoostingRegressor),
        boosted(HistGradientBoostingClassifier),
    ],
    ids=repr,
)
def test_missing_values_go_where_the_tree_sends_them(estimator):
    estimator.fit(X_GAPS, LABELS if is_classifier(estimator) else Y)
    assert relative(*outputs(estimator, GAPS)) <= 1e-6


def thresholds(estimator):
    """Rows that lie on a border of a tree, and as near to it as numbers can be."""
    if hasattr(estimator, "tree_"):
        splits = estimator.tree_.feature >= 0
        features, values = estimator.tree_.feature[splits], estimator.tree_.threshold[splits]
    else:
        nodes = np.concatenate([stage[0].nodes for stage in estimator._predictors])
        nodes = nodes[nodes["is_leaf"] == 0]
        features, values = nodes["feature_idx"], nodes["num_threshold"]
    rows = np.repeat(X[:1], 3 * len(values), axis=0)
    beside = [np.nextafter(values, -np.inf), values, np.nextafter(values, np.inf)]
    rows[np.arange(len(rows)), np.tile(features, 3)] = np.concatenate(beside)
    return rows


@pytest.mark.parametrize("kind", [DecisionTreeRegressor, HistGradientBoostingRegressor])
def test_rows_on_a_border_go_the_same_way(kind):
    estimator = kind(random_state=0).fit(X, Y)
    rows = thresholds(estimator)
    assert len(rows) > 100
    assert relative(*outputs(estimator, rows)) <= 1e-6


@pytest.mark.parametrize("loss", ["poisson", "gamma", "absolute_error"])
def test_losses_of_histogram_boosting(loss):
    estimator = boosted(HistGradientBoostingRegressor, loss=loss).fit(X, np.exp(Y - Y.max()))
    assert relative(*outputs(estimator, NEW)) <= 1e-6


@pytest.mark.parametrize("loss", ["log_loss", "exponential"])
def test_losses_of_gradient_boosting_with_two_classes(loss):
    estimator = GradientBoostingClassifier(loss=loss, n_estimators=5).fit(X, Y > Y.mean())
    assert relative(*outputs(estimator, NEW)) <= 1e-6


def test_categories_of_histogram_boosting():
    """Also unknown, negative and missing ones; categories do not come first, nor from 0."""
    rng = np.random.RandomState(1)
    rows = np.column_stack([rng.normal(size=400), rng.choice([2, 3, 5, 8, 13, 21], size=400)])
    rows[:20, 1] = np.nan
    target = np.where(np.isin(rows[:, 1], [2, 8, 21]), rows[:, 0], 3.0 - rows[:, 0])
    new = rows.copy()
    new[:, 1] = rng.choice([2, 3, 5, 8, 13, 21, 1, 34, -1, np.nan], size=400)
    for estimator in (
        boosted(HistGradientBoostingRegressor, categorical_features=[1]),
        boosted(HistGradientBoostingClassifier, categorical_features=[1]),
    ):
        y = target > 1 if is_classifier(estimator) else target
        estimator.fit(rows, y)
        assert any(
            nodes["is_categorical"].any()
            for nodes in (stage[0].nodes for stage in estimator._predictors)
        )
        assert relative(*outputs(estimator, new)) <= 1e-6


def test_neighbours_at_distance_zero_count_alone():
    estimator = KNeighborsRegressor(weights="distance").fit(X, Y)
    found, expected = outputs(estimator, X)
    np.testing.assert_allclose(found[:, 0], Y, rtol=1e-12)
    assert relative(found, expected) <= 1e-12


@pytest.mark.parametrize(
    ("library", "regressor", "classifier", "parameters"),
    [
        (
            "lightgbm",
            "LGBMRegressor",
            "LGBMClassifier",
            dict(n_estimators=20, verbose=-1, n_jobs=1),
        ),
        ("xgboost", "XGBRegressor", "XGBClassifier", dict(n_estimators=20, n_jobs=1)),
        (
            "catboost",
            "CatBoostRegressor",
            "CatBoostClassifier",
            dict(iterations=20, verbose=0, thread_count=1),
        ),
    ],
)
def test_boosting_libraries(library, regressor, classifier, parameters):
    module = pytest.importorskip(library, reason=f"{library} is not installed")
    if library == "xgboost":
        pytest.importorskip("onnxmltools", reason="onnxmltools is not installed")
    codes = np.unique(LABELS, return_inverse=True)[1]
    for kind, y in ((regressor, Y), (classifier, codes), (classifier, (codes == 1).astype(int))):
        estimator = getattr(module, kind)(**parameters).fit(X, y)
        assert relative(*outputs(estimator, NEW)) <= 1e-6


def test_missing_values_and_categories_of_lightgbm():
    lightgbm = pytest.importorskip("lightgbm", reason="lightgbm is not installed")
    rng = np.random.RandomState(1)
    rows = np.column_stack([rng.normal(size=500), rng.randint(8, size=500)])
    rows[:50, 0] = np.nan
    y = np.where(np.isin(rows[:, 1], [1, 4, 7]), 2.0, -1.0) * np.nan_to_num(rows[:, 0], nan=3.0)
    estimator = lightgbm.LGBMRegressor(n_estimators=10, n_jobs=1, verbose=-1, min_child_samples=5)
    estimator.fit(rows, y, categorical_feature=[1])
    assert relative(*outputs(estimator, rows)) <= 1e-6


@pytest.mark.parametrize(
    ("estimator", "reason"),
    [
        (KNeighborsRegressor(metric="manhattan"), "Euclidean"),
        (KNeighborsRegressor(weights=lambda distances: distances), "function"),
        (SVR(kernel=lambda a, b: a @ b.T), "kernel"),
        (GradientBoostingRegressor(init=Ridge(), n_estimators=2), "init"),
    ],
)
def test_what_cannot_be_converted_says_why(estimator, reason):
    with pytest.raises(ConversionError, match=reason):
        outputs(estimator.fit(X, Y), NEW)


def test_what_was_written_in_float32_by_others_is_exact():
    """Thresholds of a correction divide what experts say: they must not round."""
    for estimator in (CalibratedClassifierCV(scaled(SVC()), cv=2), GaussianNB()):
        for labels in (LABELS, LABELS == "low"):
            assert relative(*outputs(clone(estimator).fit(X, labels), NEW)) <= 1e-12
