"""Several outputs of classes: a product of categorical densities behind one gate."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import estimator_checks, get_tags

import skmoe
import skmoe.onnx
from skmoe import MixtureOfExpertsClassifier
from skmoe._likelihoods import Categorical, CategoricalOutputs
from skmoe.inspection import ReliabilityDisplay, expert_report, regime_table
from skmoe.tables import kind_report, make_mixture

TREE = DecisionTreeClassifier(max_depth=3, random_state=0)

pytestmark = pytest.mark.filterwarnings("ignore:EM stopped at max_iter")


def regimes(n_samples=300):
    """In each of two regimes either output follows another feature."""
    rng = np.random.RandomState(0)
    X = rng.normal(size=(n_samples, 3))
    left = X[:, 0] > 0
    first = np.digitize(np.where(left, X[:, 1], -X[:, 2]), [-0.5, 0.5])
    second = np.where(left, X[:, 2], X[:, 1]) > 0
    return X, np.column_stack([np.array(["a", "b", "c"])[first], np.where(second, "yes", "no")])


X, Y = regimes()
LABELS = (Y == ["b", "yes"]).astype(int)  # multilabel


def small(experts=TREE, **parameters):
    few = dict(n_experts=2, overlap=0.0, init="leaves", cv=3, max_iter=4, random_state=0)
    return MixtureOfExpertsClassifier(experts, **few | {"shared_expert": None} | parameters)


@pytest.fixture(scope="module")
def model():
    return small().fit(X[:200], Y[:200])


def test_likelihood_is_the_product_of_its_outputs():
    rng = np.random.RandomState(1)
    parts = Categorical(np.arange(3), True), Categorical(np.arange(2), True)
    both = CategoricalOutputs(parts)
    y = np.column_stack([rng.randint(3, size=40), rng.randint(2, size=40)])
    outputs = [rng.dirichlet(np.ones(c), size=(40, 4)) for c in (3, 2)]
    floor, weight = rng.uniform(size=(4, 2)), rng.uniform(size=(40, 4))
    together = np.concatenate(outputs, axis=2)
    log_density = sum(
        np.log((1 - e) * q + e / q.shape[2])[np.arange(40), :, codes]
        for q, codes, e in zip(outputs, y.T, floor.T[:, np.newaxis, :, np.newaxis], strict=True)
    )
    np.testing.assert_allclose(both.log_density(y, together, floor), log_density)
    learned = both.update_dispersion(y, together, weight, floor)
    for j, part in enumerate(parts):
        own = part.update_dispersion(y[:, j], outputs[j], weight, floor[:, j])
        np.testing.assert_array_equal(learned[:, j], own)
    mixed, slope_at = together[:, 0], both.mixing_loss(y, together[:, 0])[1]
    losses = both.reported_losses(y, mixed)
    np.testing.assert_allclose(losses[:, 0], -np.log(outputs[0][np.arange(40), 0, y[:, 0]]))
    np.testing.assert_allclose(both.loss(y, mixed), losses.sum(axis=1))
    step = 1e-6 * rng.normal(size=mixed.shape)
    change = both.mixing_loss(y, mixed + step)[0] - both.mixing_loss(y, mixed)[0]
    np.testing.assert_allclose(change, (slope_at * step).sum(axis=1), rtol=1e-2, atol=1e-10)


def test_predictions_have_the_form_of_a_forest(model):
    forest = RandomForestClassifier(2, random_state=0).fit(X[:200], Y[:200])
    proba, same = model.predict_proba(X[200:]), forest.predict_proba(X[200:])
    assert [own.shape for own in proba] == [own.shape for own in same]
    assert model.n_outputs_ == forest.n_outputs_ == 2
    for ours, theirs in zip(model.classes_, forest.classes_, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for own, log_own in zip(proba, model.predict_log_proba(X[200:]), strict=True):
        np.testing.assert_allclose(own.sum(axis=1), 1)
        np.testing.assert_array_equal(np.log(own), log_own)
    predicted = model.predict(X[200:])
    assert predicted.dtype == Y.dtype
    for j, own in enumerate(proba):
        np.testing.assert_array_equal(predicted[:, j], model.classes_[j][own.argmax(axis=1)])
    weight = np.arange(100.0)
    right = (predicted == Y[200:]).all(axis=1)
    score = model.score(X[200:], Y[200:], weight)
    np.testing.assert_allclose(score, np.average(right, weights=weight))


@pytest.mark.parametrize(
    "name",
    [
        "check_classifier_multioutput",
        "check_classifiers_multilabel_representation_invariance",
        "check_classifiers_multilabel_output_format_predict_proba",
    ],
)
def test_scikit_learns_checks(name):
    getattr(estimator_checks, name)("mixture", small(max_iter=1))


def test_tags_say_who_takes_several_outputs():
    def says(mixture):
        tags = get_tags(mixture)
        return {tags.target_tags.multi_output, tags.classifier_tags.multi_label}

    assert says(small()) == says(small(MLPClassifier())) == {True}
    assert says(small(LogisticRegression())) == says(small(e_step="oob")) == {False}
    assert says(small([("tree", TREE), ("linear", LogisticRegression())])) == {False}


def test_density_is_that_of_the_mixture_of_products(model):
    """Given the expert the outputs are independent; in the mixture they are not."""
    rows, y = X[200:], Y[200:]
    density = np.zeros(len(y))
    for k, expert in enumerate(model.experts_):
        own = model.gate_proba(rows)[:, k]
        for j, proba in enumerate(expert.predict_proba(rows)):
            code = np.searchsorted(expert.classes_[j], y[:, j])
            q, e = proba[np.arange(len(y)), code], model.floor_[k, j]
            own = own * ((1 - e) * q + e / len(model.classes_[j]))
        density += own
    np.testing.assert_allclose(model.log_density(rows, y), np.log(density))


def test_one_gate_finds_the_regimes_of_all_outputs():
    linear, left = MultiOutputClassifier(LogisticRegression()), X[:, 0] > 0
    start = np.column_stack([0.4 + 0.2 * left, 0.6 - 0.2 * left])  # no more than a hint
    mixture = small(linear, init=start[:200]).fit(X[:200], Y[:200])
    assert np.mean((mixture.apply(X) == 0) == left) > 0.95
    alone = clone(linear).fit(X[:200], Y[:200])
    assert mixture.score(X[200:], Y[200:]) > alone.score(X[200:], Y[200:]) + 0.4


@pytest.mark.parametrize(
    "expert",
    [
        KNeighborsClassifier(),
        make_pipeline(StandardScaler(), RandomForestClassifier(3, max_depth=2)),
        MultiOutputClassifier(LogisticRegression()),
        MLPClassifier((3,), solver="lbfgs", max_iter=30),
    ],
    ids=lambda expert: type(expert).__name__,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_experts_that_take_several_outputs(expert):
    mixture = small([("expert", expert), ("tree", TREE)], overlap=1.0).fit(X, LABELS)
    proba = mixture.predict_proba(X)
    assert sum(log_loss(LABELS[:, j], proba[j]) for j in range(2)) < 2 * np.log(2)
    said = mixture.experts_[0].predict_proba(X)
    second = said if isinstance(said, np.ndarray) else np.column_stack([p[:, 1] for p in said])
    outputs = mixture.predict_experts(X)
    np.testing.assert_allclose(outputs[:, 0, [1, 3]], second, atol=1e-9)


def test_a_class_that_an_expert_has_not_seen_is_not_impossible():
    """All experts but one know only a part of the classes of the outputs."""
    rows = (Y[:, 0] != "c") & (Y[:, 1] == "yes")
    blind = FrozenEstimator(clone(TREE).fit(X[rows], Y[rows]))
    mixture = small([("blind", blind), ("tree", TREE)], overlap=1.0).fit(X, Y)
    assert (mixture.predict_experts(X)[:, 0, [2, 3]] == 0).all()
    assert all((own > 0).all() for own in mixture.predict_proba(X))


class Doubled(DecisionTreeClassifier):
    """A tree whose probabilities of the second output are none."""

    def predict_proba(self, X):
        first, second = super().predict_proba(X)
        return [first, 2 * second]


def test_experts_that_do_not_do_what_they_say_are_named():
    with pytest.raises(ValueError, match="'expert_0'.*probabilities that sum to 2"):
        small(Doubled(max_depth=1), overlap=1.0).fit(X, Y)
    with pytest.raises(ValueError, match="'expert_0'.*MLPClassifier.*could not be fitted"):
        small(MLPClassifier(), overlap=1.0).fit(X, Y[:, [1, 1]])  # it takes 0 and 1 only


def test_scouts_stay_at_home():
    mixture = small(init="linear", max_iter=1).fit(X, Y)  # logistic regressions take one output
    assert mixture.log_likelihood_ == small(init="auto", max_iter=1).fit(X, Y).log_likelihood_


def test_weights_are_repetitions():
    weight = np.arange(len(X)) % 3
    folds = [(np.flatnonzero(X[:, 1] > 0), np.flatnonzero(X[:, 1] <= 0))]
    folds.append(folds[0][::-1])
    start = np.column_stack([X[:, 0] > 0, X[:, 0] <= 0]).astype(float)
    weighted = small(cv=folds, init=start).fit(X, Y, weight)
    rows = np.repeat(np.arange(len(X)), weight)
    repeated_folds = [tuple(np.flatnonzero(np.isin(rows, part)) for part in f) for f in folds]
    repeated = small(cv=repeated_folds, init=start[rows]).fit(X[rows], Y[rows])
    np.testing.assert_allclose(weighted.log_likelihood_, repeated.log_likelihood_, rtol=1e-6)
    np.testing.assert_allclose(weighted.floor_, repeated.floor_, rtol=1e-4, atol=1e-6)


def test_few_experts_keep_to_their_bound(model):
    dense = model.predict_proba(X)
    for max_error in (0.01, 0.2):
        for own, few in zip(dense, model.predict_proba(X, max_error), strict=True):
            assert (np.abs(own - few).sum(axis=1) / 2 <= max_error + 1e-12).all()
    top = clone(model).set_params(top_k=1).fit(X[:200], Y[:200])
    chosen = top.experts_[top.apply(X[:1])[0]].predict(X[:1])
    np.testing.assert_array_equal(top.predict(X[:1]), chosen)


def test_a_generalist_beside_clones():
    mixture = small(shared_expert="generalist").fit(X[:200, 1:], Y[:200])  # the regime is hidden
    assert mixture.shared_weight_ > 0
    assert mixture.shared_dispersion_.shape == (1, 2)
    weight, rows = mixture.shared_weight_, X[200:, 1:]
    shared = CategoricalOutputs.component(
        mixture._likelihood,
        mixture._likelihood.expert_output(mixture.shared_expert_, rows),
        mixture.shared_dispersion_[0],
    )
    unshared = small().fit(X[:200, 1:], Y[:200]).predict_proba(rows)
    for ours, own, theirs in zip(
        mixture.predict_proba(rows), mixture._likelihood.split(shared), unshared, strict=True
    ):
        np.testing.assert_allclose(ours, weight * own + (1 - weight) * theirs)


def test_a_pool_has_no_consensus_unasked():
    pool = [("tree", TREE), ("neighbours", KNeighborsClassifier())]
    mixture = MixtureOfExpertsClassifier(pool, cv=2, random_state=0).fit(X, Y)
    assert mixture.overlap_ == 1.0 and mixture.shared_expert_ is None


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (dict(experts=None), "'expert_0' .LogisticRegression. takes one; wrap it"),
        (dict(shared_expert="consensus"), "shared_expert='consensus' is there for one output"),
        (dict(e_step="oob", experts=RandomForestClassifier()), "e_step='oob' is there for one"),
    ],
)
def test_what_is_there_for_one_output_is_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        small(**parameters).fit(X, Y)


def test_targets_that_do_not_fit_are_refused(model):
    with pytest.raises(ValueError, match="got 1 class in output 1: "):
        small().fit(X, np.column_stack([Y[:, 0], np.full(len(Y), "yes")]))
    with pytest.raises(ValueError, match="2 outputs were expected"):
        model.log_density(X, Y[:, 0])
    with pytest.raises(ValueError, match=r"not seen: .*'d'"):
        model.responsibilities(X[:1], [["d", "yes"]])
    with pytest.raises(ValueError, match="outputs were expected"):
        model.score(X, Y[:, 0])
    with pytest.raises(ValueError, match="2 outputs were expected"):
        pickle.loads(pickle.dumps(model)).set_params(warm_start=True).fit(X, Y[:, 0])
    with pytest.raises(ValueError, match="y has 1 outputs, and had 2"):
        model.refit_expert("expert_0", X, Y[:, 0])
    with pytest.raises(ValueError, match="of one output; y had 2"):
        model.predict_set(X)
    with pytest.raises(ValueError, match="learns one output"):
        small(MLPClassifier()).partial_fit(X, Y, classes=["a", "b"])


@pytest.mark.parametrize("expert", [TREE, MLPClassifier((2,), max_iter=1)])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_frozen_expert_of_one_output_is_refused(expert):
    """Two columns could be two classes of one output, or one class each of two."""
    one = FrozenEstimator(clone(expert).fit(X, LABELS[:, 0]))
    with pytest.raises(ValueError, match="frozen expert 'one' was fitted with 1"):
        small([("one", one), ("tree", TREE)], overlap=1.0).fit(X, LABELS)
    both = FrozenEstimator(clone(expert).fit(X, LABELS))
    small([("both", both), ("tree", TREE)], overlap=1.0).fit(X, LABELS)


def test_new_classes_after_surgery(model):
    rows = np.where(X[:, :1] > 1, [["d", "yes"]], Y)
    grown = model.refit_expert("expert_0", X, rows)
    np.testing.assert_array_equal(grown.classes_[0], ["a", "b", "c", "d"])
    np.testing.assert_array_equal(grown.classes_[1], ["no", "yes"])
    assert grown.surgery_.before[0] == np.inf  # such rows were impossible


def test_bundle(model, tmp_path):
    skmoe.dump(model, tmp_path / "model.skmoe")
    loaded = skmoe.load(tmp_path / "model.skmoe")  # golden rows are replayed
    for own, other in zip(model.predict_proba(X), loaded.predict_proba(X), strict=True):
        np.testing.assert_array_equal(own, other)
    manifest = skmoe.read_manifest(tmp_path / "model.skmoe")
    assert manifest.golden["source"]
    assert manifest.model["classes"] == [["a", "b", "c"], ["no", "yes"]]


def test_report(model):
    report = expert_report(model, X[200:], Y[200:])
    own = model.apply(X[200:]) == 0
    proba = model.predict_proba(X[200:][own])
    loss = [log_loss(Y[200:, j][own], proba[j], labels=model.classes_[j]) for j in range(2)]
    np.testing.assert_allclose(report["error_mixture"].iloc[0], np.mean(loss))
    with pytest.raises(ValueError, match="regime_table is of one output of classes"):
        regime_table(model, X, Y)
    with pytest.raises(ValueError, match="ReliabilityDisplay is of one output of classes"):
        ReliabilityDisplay.from_estimator(model, X, Y)


def test_no_graph(model):
    pytest.importorskip("skl2onnx")
    with pytest.raises(skmoe.onnx.ConversionError, match="2 outputs of classes"):
        skmoe.to_onnx(model, X)


def test_tables_say_that_they_are_for_one_output(model):
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    with pytest.raises(ValueError, match="one output of classes"):
        make_mixture(frame, Y)
    with pytest.raises(ValueError, match="told of one output of classes"):
        kind_report(small().fit(frame, Y), frame, Y)
