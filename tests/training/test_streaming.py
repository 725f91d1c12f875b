"""`partial_fit`: stepwise EM, one chunk after the other."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.linear_model import LinearRegression, Ridge, SGDClassifier, SGDRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures, StandardScaler
from sklearn.tree import DecisionTreeRegressor

import skmoe
from skmoe import GaussianGate, MixtureOfExpertsClassifier, MixtureOfExpertsRegressor, SoftmaxGate
from skmoe._experts.least_squares import fit_all
from skmoe._experts.streaming import LinearMemory, learn_from, learn_together
from skmoe.gates._online import Asked, GateMemory

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

N_FEATURES, N_EXPERTS = 6, 3


def rows(n, seed, noise=0.5):
    """A mixture of linear regressions whose gate is a softmax."""
    truth = np.random.default_rng(0)
    slopes = truth.normal(size=(N_EXPERTS, N_FEATURES))
    logits = 3 * truth.normal(size=(N_EXPERTS, N_FEATURES))
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, N_FEATURES))
    scores = X @ logits.T
    chosen = (scores + rng.gumbel(size=scores.shape)).argmax(axis=1)
    return X, (X @ slopes.T)[np.arange(n), chosen] + noise * rng.normal(size=n)


def mixture(expert=None, **parameters):
    quick = dict(
        n_experts=N_EXPERTS,
        gate=SoftmaxGate(),
        overlap=0.0,
        init="leaves",
        shared_expert=None,
        density="mixture",
        random_state=0,
    )
    return MixtureOfExpertsRegressor(expert, **quick | parameters)


def streamed(model, X, y, size, **parameters):
    for start in range(0, len(X), size):
        model.partial_fit(X[start : start + size], y[start : start + size], **parameters)
    return model


# as good as EM on all rows -----------------------------------------------------------------


@pytest.mark.slow
def test_one_pass_is_as_good_as_batch_em():
    """From the same start: what time it takes, benchmarks/scale.py prints."""
    X, y = rows(40_000, 1)
    new = rows(20_000, 2)
    first = mixture().fit(X[:2000], y[:2000])
    batch = mixture(init=first.responsibilities(X, y)).fit(X, y)
    stream = streamed(mixture(), X, y, 2000)
    difference = stream.log_density(*new).mean() - batch.log_density(*new).mean()
    assert difference == pytest.approx(0.0, abs=0.002)


def test_chunks_help():
    """Each is scored before it is learned from: so the score is that of new rows."""
    X, y = rows(6_000, 1)
    new = rows(4_000, 2)
    first = mixture().partial_fit(X[:500], y[:500])
    stream = streamed(mixture(), X, y, 500)
    gain = stream.log_density(*new) - first.log_density(*new)
    assert gain.mean() > 5 * gain.std() / np.sqrt(len(gain))
    scored = stream.stream_.log_likelihood
    assert scored.shape == stream.stream_.n_rows.shape == (12,)
    assert scored[1] == pytest.approx(first.log_density(X[500:1000], y[500:1000]).mean())
    assert scored[6:].mean() == pytest.approx(stream.log_density(*new).mean(), abs=0.1)


def test_drift_shows_in_the_score_and_is_followed():
    X, y = rows(8_000, 1)
    y[4_000:] *= -1.0
    scored = streamed(mixture(), X, y, 500).stream_.log_likelihood
    assert scored[8] < scored[4:8].mean() - 1.0
    assert scored[15] > scored[8] + 1.0


def test_one_chunk_is_fit():
    X, y = rows(600, 1)
    once = mixture().partial_fit(X, y)
    fitted = mixture().fit(X, y)
    assert_array_equal(once.predict(X), fitted.predict(X))
    assert once.stream_.log_likelihood == [fitted.log_likelihood_]


# the parts -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "expert", [Ridge(alpha=3.0), Ridge(fit_intercept=False), LinearRegression()]
)
def test_statistics_of_all_chunks_are_those_of_all_rows(expert):
    """With steps of 1/t nothing is forgotten: least squares of all rows at once."""
    X, y = rows(600, 1)
    weight = np.random.default_rng(0).uniform(size=600)
    first, *others = np.split(np.arange(600), 4)
    weights = np.column_stack([weight, 1.0 - weight])
    memories = [LinearMemory.of(X[first], y[first], own[first], 150.0) for own in weights.T]
    learners = [clone(expert).fit(X[first], y[first]) for _ in memories]
    for t, rows_ in enumerate(others, 2):
        chunk = X[rows_], y[rows_]
        learners, memories = learn_together(
            learners, memories, chunk, weights[rows_], 150.0, 1 / t
        )
    coef, intercept = fit_all([expert, expert], X, y, weights)
    for k, solved in enumerate(learners):
        assert_allclose(solved.coef_, coef[k], rtol=1e-9)
        assert_allclose(solved.intercept_, intercept[k], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "gate",
    [
        SoftmaxGate(alpha=0.01),
        SoftmaxGate(alpha=0.1, temperature=2.0),
        SoftmaxGate(alpha=0.01, terms="products"),
        SoftmaxGate(alpha=0.01, terms="splines"),
    ],
)
def test_steps_of_the_gate_lead_to_its_fit(gate):
    """Steps on the same chunk again and again end where the gate's own fit does."""
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(300, 3)) * [1.0, 10.0, 0.1] + [0.0, 5.0, 0.0]
    Z[rng.uniform(size=300) < 0.1, 2] = np.nan
    weight = rng.uniform(0.5, 2.0, size=300)
    targets = rng.dirichlet(np.ones(3), size=300)
    targets[:, 0] += Z[:, 0] > 0
    targets /= targets.sum(axis=1, keepdims=True)
    solved = clone(gate).fit(Z, targets, weight)
    other = clone(gate).fit(Z, np.full_like(targets, 1 / 3), weight)
    memory = GateMemory.of(Asked.of(other, Z), weight)
    for _ in range(200):
        other, memory = memory.stepped(other, Asked.of(other, Z), targets, weight, 1.0)
    assert_allclose(other.predict_proba(Z), solved.predict_proba(Z), atol=2e-3)
    assert_allclose(other.coef_.sum(axis=0), 0.0, atol=1e-12)


def test_experts_without_weights_learn_from_rows_drawn_by_them():
    class Counts:
        def partial_fit(self, X, y):
            self.rows = X[:, 0]

    learner, rows_ = Counts(), np.arange(10.0)[:, np.newaxis]
    weight = np.repeat([0.0, 2.0], 5)
    learn_from(learner, rows_, rows_[:, 0], weight, np.ones(10), None, seed=0)
    values, counts = np.unique(learner.rows, return_counts=True)
    assert_array_equal(values, np.arange(5, 10))
    assert len(set(counts)) == 1


@pytest.mark.parametrize("container", [np.array, pd.DataFrame])
def test_learners_may_write_into_their_rows(container):
    class Zeroes:
        def partial_fit(self, X, y, sample_weight):
            values = np.asarray(X)
            values.flags.writeable = True  # as compiled code has it, which asks nobody
            values[:] = 0.0

    X = container(np.ones((10, 2)))
    learn_from(Zeroes(), X, np.ones(10), np.ones(10), np.ones(10), None, seed=0)
    assert_array_equal(X, 1.0)


# experts of all kinds -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "expert",
    [
        make_pipeline(StandardScaler(), Ridge()),
        make_pipeline(StandardScaler(), SGDRegressor()),
        MLPRegressor(hidden_layer_sizes=(10,), max_iter=300),
        [("ridge", Ridge()), ("sgd", SGDRegressor()), ("ols", LinearRegression())],
    ],
)
def test_regressors(expert):
    X, y = rows(3_000, 1)
    new = rows(1_000, 2)
    parameters = {"overlap": 0.1} if isinstance(expert, list) else {}
    first = mixture(expert, **parameters).partial_fit(X[:500], y[:500])
    before = first.log_density(*new).mean(), first.score(*new)
    stream = streamed(first, X[500:], y[500:], 500)
    assert stream.log_density(*new).mean() > before[0]
    assert stream.score(*new) > before[1] > 0.3
    assert np.isfinite(stream.stream_.log_likelihood).all()


def test_linear_experts_learn_the_same_together_and_alone():
    """Those in Pipelines see copies of the rows, so that each is solved alone."""
    X, y = rows(1_500, 1)
    start = np.eye(N_EXPERTS)[(X[:, 0] > 0).astype(int) + (X[:, 1] > 0)]
    alone = make_pipeline(FunctionTransformer(np.copy), Ridge())
    models = [
        mixture(expert, init=start[:500], max_iter=3).partial_fit(X[:500], y[:500])
        for expert in (Ridge(), alone)
    ]
    for model in models:
        streamed(model, X[500:], y[500:], 500)
    assert_allclose(models[0].predict(X), models[1].predict(X), rtol=1e-6, atol=1e-6)
    together, separate = (model.stream_ for model in models)
    assert_allclose(together.log_likelihood, separate.log_likelihood, rtol=1e-6)


class Clipped(TransformerMixin, BaseEstimator):
    """Limits values; where none is beyond the limit, it may hand out X itself."""

    def __init__(self, limit=1.0, copy=True):
        self.limit, self.copy = limit, copy

    def fit(self, X, y=None):
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        idle = not self.copy and np.abs(X).max() <= self.limit
        return X if idle else np.clip(X, -self.limit, self.limit)


@pytest.mark.parametrize("writeable", [True, False])
def test_linear_experts_that_begin_with_other_rows_stay_apart(writeable):
    """Both see X itself in the second chunk; but their memories have other centres."""
    X, y = rows(1_500, 1)
    X[:, 0] += 1.0
    X[500:] = np.clip(X[500:], -1.0, 1.0)
    X.flags.writeable = writeable

    def learned(copy):
        experts = [("raw", Ridge()), ("clipped", make_pipeline(Clipped(copy=copy), Ridge()))]
        return streamed(mixture(experts, overlap=0.1), X, y, 500)

    itself, copied = learned(copy=False), learned(copy=True)
    centres = [memory.centre for memory in itself.stream_.experts]
    assert np.abs(centres[0] - centres[1]).max() > 0.1
    assert_allclose(itself.predict(X), copied.predict(X), rtol=1e-9, atol=1e-9)
    assert_allclose(itself.stream_.log_likelihood, copied.stream_.log_likelihood, rtol=1e-9)


class Shifted(TransformerMixin, BaseEstimator):
    """Writes into X by itself, so that it raises where it must not."""

    def __init__(self, copy=True):
        self.copy = copy

    def fit(self, X, y=None):
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        X = np.array(X) if self.copy else X
        X -= 3.0
        return X


@pytest.mark.parametrize("last", [Ridge(), SGDRegressor(random_state=0)])
@pytest.mark.parametrize(
    ("transformer", "container"),
    [
        (StandardScaler, np.array),
        (StandardScaler, lambda X: pd.DataFrame(X, columns=list("abcdef"))),
        (Shifted, np.array),
    ],
)
def test_transformers_that_write_in_place(last, transformer, container):
    X, y = rows(1_000, 1)
    X = 5.0 * X + 3.0

    def learned(copy):
        given = container(X)
        model = mixture(make_pipeline(transformer(copy=copy), last), max_iter=3, overlap=0.1)
        streamed(model, given, y, 500)
        assert_array_equal(given, X)
        return model.stream_.log_likelihood, model.predict(given)

    for inplace, copied in zip(learned(copy=False), learned(copy=True), strict=True):
        assert_array_equal(inplace, copied)


@pytest.mark.parametrize(
    "expert",
    [GaussianNB(), make_pipeline(StandardScaler(), SGDClassifier(loss="log_loss"))],
)
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning:sklearn")  # a late class
def test_classifiers(expert):
    """Also with a class that comes late."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3_000, 3))
    labels = np.where(X[:, 0] * X[:, 1] > 0, "same", "apart").astype(object)
    labels[(X[:, 2] > 1.0) & (np.arange(3_000) > 600)] = "late"
    model = MixtureOfExpertsClassifier(expert, n_experts=2, gate=SoftmaxGate(), random_state=0)
    streamed(model, X, labels, 500, classes=["late", "same", "apart"])
    assert list(model.classes_) == ["apart", "late", "same"]
    late = labels == "late"
    proba = model.predict_proba(X)
    assert proba.shape == (3_000, 3)
    assert proba[late, 1].mean() > 2 * proba[~late, 1].mean()


def test_frames_and_weights():
    X, y = rows(1_200, 1)
    frame = pd.DataFrame(X, columns=list("abcdef"))
    weight = np.where(np.arange(1_200) % 3 == 0, 0.0, 1.0)
    kept = weight > 0
    model, same = mixture(), mixture()
    for start in range(0, 1_200, 400):
        part = slice(start, start + 400)
        model.partial_fit(frame[part], y[part], sample_weight=weight[part])
        some = kept[part]
        same.partial_fit(frame[part][some], y[part][some])
    assert_array_equal(model.predict(frame), same.predict(frame))
    assert list(model.feature_names_in_) == list("abcdef")


def test_stored_streams_go_on(tmp_path):
    X, y = rows(1_500, 1)
    model = streamed(mixture(), X[:1_000], y[:1_000], 500)
    skmoe.dump(model, tmp_path / "stream.moe")
    copies = [pickle.loads(pickle.dumps(model)), skmoe.load(tmp_path / "stream.moe", trusted=True)]
    expected = model.partial_fit(X[1_000:], y[1_000:]).predict(X)
    for copy in copies:
        assert_array_equal(copy.partial_fit(X[1_000:], y[1_000:]).predict(X), expected)


def test_default_experts_and_gate():
    X, y = rows(1_000, 1)
    model = MixtureOfExpertsRegressor(n_experts=2, max_iter=5, random_state=0)
    streamed(model, X, y, 500)
    assert model.shared_expert_ is None
    assert model.predict_interval(X).shape == (1_000, 2)


# what cannot be ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"expert": DecisionTreeRegressor()}, "DecisionTreeRegressor"),
        ({"expert": [("a", Ridge()), ("tree", DecisionTreeRegressor())]}, "tree Decision"),
        ({"expert": Ridge(solver="lsqr")}, "lsqr"),
        ({"gate": GaussianGate()}, "GaussianGate"),
        ({"shared_expert": "generalist"}, "generalist"),
    ],
)
def test_not_available(parameters, said):
    model = mixture(**parameters)
    assert not hasattr(model, "partial_fit")
    with pytest.raises(AttributeError) as caught:
        model.partial_fit  # noqa: B018
    assert said in str(caught.value.__cause__)


def test_a_mixture_that_was_fitted_by_fit_begins_anew():
    X, y = rows(600, 1)
    with pytest.warns(UserWarning, match="fitted by fit") as caught:
        again = mixture().fit(X[:300], y[:300]).partial_fit(X, y)
    assert caught[0].filename == __file__
    assert_array_equal(again.predict(X), mixture().partial_fit(X, y).predict(X))


@pytest.mark.parametrize(
    ("expert", "kind"),
    [
        (Ridge(), "Ridge"),
        (make_pipeline(StandardScaler(), Ridge()), "Pipeline"),
        (make_pipeline(PolynomialFeatures(2), Ridge()), "Pipeline"),  # the transformer refuses
    ],
)
def test_missing_values_are_refused_by_the_expert_that_is_asked(expert, kind):
    X, y = rows(900, 1)
    model = mixture(expert, max_iter=3).partial_fit(X[:600], y[:600])
    X[700, 0] = np.nan
    with pytest.raises(ValueError, match=rf"'expert_0' \({kind}\) could not predict.*NaN"):
        model.partial_fit(X[600:], y[600:])


def test_errors():
    X, y = rows(600, 1)
    with pytest.raises(ValueError, match="one output"):
        mixture().partial_fit(X, np.column_stack([y, y]))
    model = MixtureOfExpertsClassifier(GaussianNB(), n_experts=2)
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        model.partial_fit(X, y > 0)
    with pytest.raises(ValueError, match=r"not in classes: .*2"):
        model.partial_fit(X[:2], [1, 2], classes=[0, 1])
    model.partial_fit(X, y > 0, classes=[False, True])
    with pytest.raises(ValueError, match="not those of the first call"):
        model.partial_fit(X, y > 0, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="has 2 features"):
        model.partial_fit(X[:, :2], y > 0)


def test_fit_forgets_the_stream():
    X, y = rows(600, 1)
    model = mixture().partial_fit(X, y).fit(X, y)
    assert not hasattr(model, "stream_")
