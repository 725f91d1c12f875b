"""Mixtures as ONNX graphs: what converts, how exactly, how fast.

Run ``python benchmarks/onnx.py [--only PART ...] [--kinds KIND ...] [--quick]`` where the extra
``onnx`` is installed; kinds of boosting libraries that are not installed are left out. All
sessions have one thread. Times are processor time, the best of several, in alternation. See
README.md for figures.
"""

import argparse
import importlib
import sys
import warnings
from pathlib import Path
from time import process_time

# This file has the name of a library, which Python would look for beside it first.
if (here := str(Path(__file__).resolve().parent)) in sys.path:
    sys.path.remove(here)

import numpy as np
import onnxruntime
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    StackingRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR
from threadpoolctl import threadpool_limits

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor, to_onnx
from skmoe.onnx import register_converters

N_FEATURES, N_TRAIN = 10, 2000
BATCHES = (1, 100, 10_000)


def scaled(estimator):
    return make_pipeline(StandardScaler(), estimator)


REGRESSORS = {
    "linear": LinearRegression(),
    "ridge": scaled(Ridge()),
    "forest": RandomForestRegressor(50, random_state=0),
    "extra trees": ExtraTreesRegressor(50, random_state=0),
    "histogram boosting": HistGradientBoostingRegressor(max_iter=50, random_state=0),
    "gradient boosting": GradientBoostingRegressor(n_estimators=50, random_state=0),
    "k-NN": scaled(KNeighborsRegressor()),
    "SVM": scaled(SVR()),
    "MLP": scaled(MLPRegressor(hidden_layer_sizes=(32,), max_iter=30, random_state=0)),
}
CLASSIFIERS = {
    "logistic": scaled(LogisticRegression()),
    "forest": RandomForestClassifier(50, random_state=0),
    "extra trees": ExtraTreesClassifier(50, random_state=0),
    "histogram boosting": HistGradientBoostingClassifier(max_iter=50, random_state=0),
    "gradient boosting": GradientBoostingClassifier(n_estimators=50, random_state=0),
    "k-NN": scaled(KNeighborsClassifier()),
    "SVM": scaled(CalibratedClassifierCV(SVC(), ensemble=False, cv=3)),
    "MLP": scaled(MLPClassifier(hidden_layer_sizes=(32,), max_iter=30, random_state=0)),
    "naive Bayes": GaussianNB(),
}
LIBRARIES = {
    "LightGBM": ("lightgbm", "LGBM", dict(n_estimators=50, verbose=-1, n_jobs=1)),
    "XGBoost": ("xgboost", "XGB", dict(n_estimators=50, n_jobs=1)),
    "CatBoost": ("catboost", "CatBoost", dict(iterations=50, verbose=0, thread_count=1)),
}
WHOLE = "pool of five"
POOL = ["forest", "histogram boosting", "k-NN", "SVM"]


def kinds(chosen):
    """Pairs (name, estimator), those of boosting libraries that are installed included."""
    return [(name, estimator) for name, estimator in all_kinds() if name in (chosen or [name])]


def all_kinds():
    found = [*REGRESSORS.items(), *CLASSIFIERS.items()]
    for name, (library, prefix, parameters) in LIBRARIES.items():
        try:
            module = importlib.import_module(library)
        except ImportError:
            print(f"{name} is not installed")
            continue
        for suffix in ("Regressor", "Classifier"):
            found.append((name, getattr(module, prefix + suffix)(**parameters)))
    return found


def rows(n_rows, seed):
    """Features of unlike scales, as float32."""
    scale, centre = 10.0 ** (np.arange(N_FEATURES) % 5 - 2), np.arange(N_FEATURES)
    X = np.random.default_rng(seed).normal(size=(n_rows, N_FEATURES)) * scale + centre * scale
    return X.astype(np.float32)


def target(X, classes):
    Z = (X - rows(5000, 9).mean(axis=0)) / rows(5000, 9).std(axis=0)
    noise = np.random.default_rng(len(X)).normal(size=len(X))
    y = np.where(Z[:, 0] > 0, 2 * Z[:, 1], -Z[:, 2]) + np.sin(3 * Z[:, 3]) + 0.3 * noise
    return np.digitize(y, [-1.0, 1.0]) if classes else y


def fitted(experts, classes, **parameters):
    kind = MixtureOfExpertsClassifier if classes else MixtureOfExpertsRegressor
    X = rows(N_TRAIN, 0)
    model = kind(experts, max_iter=2, cv=2, random_state=0, **parameters)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X.astype(np.float64), target(X, classes))


def pool(classes):
    table = CLASSIFIERS if classes else REGRESSORS
    names = [*POOL, "logistic" if classes else "ridge"]
    return [(name, clone(table[name])) for name in names]


def session_of(graph):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def answer(model, X):
    return model.predict_proba(X) if is_classifier(model) else model.predict(X)


def exactness(quick, chosen=None):
    """Largest difference on 100,000 rows, relative to the largest value; labels that differ."""
    n_rows = 5_000 if quick else 100_000
    X = rows(n_rows, 1)
    print(f"\nTwo experts of each kind, and pools; {n_rows} rows of float32\n")
    table("experts", "task", "largest difference", "rows beyond 1e-6", "labels that differ")
    models = [
        (name, is_classifier(estimator), lambda e=estimator: clone(e))
        for name, estimator in kinds(chosen)
    ]
    if WHOLE in (chosen or [WHOLE]):
        models += [(WHOLE, c, lambda c=c: pool(c)) for c in (False, True)]
    for name, classes, experts in models:
        parameters = {} if name == WHOLE else dict(n_experts=2, overlap=0.3)
        try:
            model = fitted(experts(), classes, **parameters)
            session = session_of(to_onnx(model, X[:1000]))
        except ValueError as error:
            row(name, "classes" if classes else "numbers", f"no: {error}", "", "")
            continue
        found, expected, label, truth = [], [], [], []
        for chunk in np.array_split(X, max(1, n_rows // 5000)):
            said, own = session.run(None, {"X": chunk}), chunk.astype(np.float64)
            found.append(said[-1])
            expected.append(answer(model, own).reshape(len(own), -1))
            if classes:
                label.append(said[0])
                truth.append(model.classes_[expected[-1].argmax(axis=1)])
        found, expected = np.concatenate(found), np.concatenate(expected)
        apart = np.abs(found - expected).max(axis=1) / np.abs(expected).max()
        wrong = ""
        if classes:
            top = np.sort(expected, axis=1)[:, -2:]
            ties = top[:, 1] - top[:, 0] < 1e-6
            differ = np.concatenate(label) != np.concatenate(truth)
            wrong = f"{np.sum(differ & ~ties)}, and {np.sum(differ & ties)} of {ties.sum()} ties"
        row(name, "classes" if classes else "numbers", f"{apart.max():.1e}",
            np.sum(apart > 1e-6), wrong)  # fmt: skip


def speed(quick, chosen=None):
    """Times of skmoe, of its graph, and of the graphs of its experts alone."""
    register_converters()
    print("\nFour experts of each kind, and pools. Microseconds for one row; ms for more.\n")
    table("experts", "rows", "skmoe", "ONNX", "skmoe / ONNX", "experts' ONNX, sum", "ratio", "MB")
    models = [
        (name, is_classifier(estimator), lambda e=estimator: clone(e))
        for name, estimator in kinds(chosen)
        if is_classifier(estimator) or name == "ridge"
    ]
    if WHOLE in (chosen or [WHOLE]):
        models += [(WHOLE, True, lambda: pool(True))]
    for name, classes, experts in models:
        model = fitted(experts(), classes, **({} if name == WHOLE else {"overlap": 0.3}))
        graph = to_onnx(model, rows(1000, 2))
        size = len(graph.SerializeToString()) / 1e6
        session = session_of(graph)
        alone = [session_of(expert_graph(member)) for member in members(model)]
        for n_rows in BATCHES[:2] if quick else BATCHES:
            X = rows(n_rows, 3)
            own = X.astype(np.float64)
            ours, theirs, parts = best(
                lambda own=own, model=model: answer(model, own),
                lambda X=X, session=session: session.run(None, {"X": X}),
                lambda X=X, alone=alone: [each.run(None, {"X": X}) for each in alone],
            )
            unit = 1e6 if n_rows == 1 else 1e3
            row(name, n_rows, *(f"{t * unit:.3g}" for t in (ours, theirs)),
                f"{ours / theirs:.1f}", f"{parts * unit:.3g}", f"{theirs / parts:.2f}",
                f"{size:.2f}")  # fmt: skip


def members(model):
    """The experts, and the generalist if there is one that has a say."""
    generalist = isinstance(model.shared_expert_, BaseEstimator) and model.shared_weight_ > 0
    return [*model.experts_, *[model.shared_expert_] * generalist]


def expert_graph(expert):
    """The graph of an expert alone, without a gate."""
    from skmoe.onnx._estimators import estimator_output
    from skmoe.onnx._features import declare_features, element_type
    from skmoe.onnx._graph import Graph

    graph = Graph()
    features = declare_features(graph, rows(1, 0), N_FEATURES)
    output = estimator_output(graph, expert, features)
    output = graph.cast(output, np.float32)
    graph.declare_output("output", output, element_type("float32"), None)
    return graph.model("expert")


def stacking(quick, chosen=None):
    """The graph of a pool beside that of scikit-learn's stacking of the same estimators."""
    import skl2onnx

    register_converters()
    print("\nPool of five beside stacking of the same five, both in ONNX\n")
    table("task", "rows", "pool", "stacking", "ratio", "MB of pool", "MB of stacking")
    X = rows(N_TRAIN, 0)
    for classes in (False, True):
        graph = to_onnx(fitted(pool(classes), classes), X)
        kind = StackingClassifier if classes else StackingRegressor
        rival = kind(pool(classes), cv=2).fit(X.astype(np.float64), target(X, classes))
        options = {id(rival): {"zipmap": False}} if classes else None
        theirs = skl2onnx.to_onnx(rival, X[:1], options=options, target_opset=17)
        sessions = session_of(graph), session_of(theirs)
        sizes = [f"{len(g.SerializeToString()) / 1e6:.2f}" for g in (graph, theirs)]
        for n_rows in BATCHES[:2] if quick else BATCHES:
            new = rows(n_rows, 3)
            times = best(*(lambda new=new, s=s: s.run(None, {"X": new}) for s in sessions))
            unit = 1e6 if n_rows == 1 else 1e3
            row("classes" if classes else "numbers", n_rows, *(f"{t * unit:.3g}" for t in times),
                f"{times[0] / times[1]:.2f}", *sizes)  # fmt: skip


def trees(quick, chosen=None):
    """Tree experts alone: scikit-learn, treelite's own predictor, and the graph."""
    try:
        import treelite
    except ImportError:
        print("treelite is not installed")
        return
    register_converters()
    print("\nOne expert on one thread. Microseconds for one row; ms for more.\n")
    table("expert", "rows", "scikit-learn", "treelite", "ONNX", "ONNX / treelite", "apart")
    X = rows(N_TRAIN, 0).astype(np.float64)
    for name in ("forest", "histogram boosting"):
        model = clone(CLASSIFIERS[name]).fit(X, target(X.astype(np.float32), True))
        compact = treelite.sklearn.import_model(model)
        session = session_of(expert_graph(model))
        wide = np.float32 if name == "forest" else np.float64  # as treelite wants it
        for n_rows in BATCHES[:2] if quick else BATCHES:
            new = rows(n_rows, 3)

            def by_treelite(new=new, compact=compact, wide=wide):
                return treelite.gtil.predict(compact, new.astype(wide), nthread=1)

            own = new.astype(np.float64)
            times = best(
                lambda own=own, model=model: model.predict_proba(own),
                by_treelite,
                lambda new=new, session=session: session.run(None, {"X": new}),
            )
            unit = 1e6 if n_rows == 1 else 1e3
            apart = np.abs(by_treelite().reshape(n_rows, -1) - model.predict_proba(own)).max()
            row(name, n_rows, *(f"{t * unit:.3g}" for t in times),
                f"{times[2] / times[1]:.2f}", f"{apart:.0e}")  # fmt: skip


def best(*calls, repeats=7, at_least=0.02):
    """Best processor time of each call, measured in turn."""
    numbers = []
    for call in calls:
        call()
        started = process_time()
        call()
        numbers.append(max(1, int(at_least / max(process_time() - started, 1e-6))))
    times = [[] for _ in calls]
    for _ in range(repeats):
        for call, number, own in zip(calls, numbers, times, strict=True):
            started = process_time()
            for _ in range(number):
                call()
            own.append((process_time() - started) / number)
    return [min(own) for own in times]


def table(*heads):
    row(*heads)
    row(*["---"] * len(heads))


def row(*cells):
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


PARTS = {"exactness": exactness, "speed": speed, "stacking": stacking, "trees": trees}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rows")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--kinds", nargs="+", help=f"such as forest, naive Bayes, {WHOLE}")
    arguments = parser.parse_args()
    with threadpool_limits(1):
        for name in arguments.only:
            PARTS[name](arguments.quick, arguments.kinds)


if __name__ == "__main__":
    main()
