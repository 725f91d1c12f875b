"""Write plain pickles of this release that ``tests/io/test_bundle_history.py`` loads for ever.

    python tests/io/stored/make_pickles.py before_the_redesign

The argument names the release. Run it with the newest and with the oldest supported versions of
the packages, and commit the files. Never write a file anew that is there already. The mixtures are
such that every class of skmoe is in them that a fitted mixture may hold.
"""

import pickle
import sys
import warnings
from pathlib import Path

import joblib
import numpy as np
import sklearn
from make_bundles import rows
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.gates import ClassifierGate, CosineGate, GaussianGate, HierarchicalGate, SoftmaxGate

FOLDER = Path(__file__).parent


def models():
    """Fitted mixtures by name."""
    X, y, labels = rows()
    disturbed = X[:, 0] + X[:, 2] + np.sin(1e4 * np.arange(len(X)))  # without regimes
    scattered = X[:, 0] + X[:, 2] + 0.2 * (31 * np.arange(len(X)) ** 2 % 97 / 97 - 0.5)
    few = {"n_experts": 2, "cv": 2, "max_iter": 3, "random_state": 0}
    three = few | {"n_experts": 3, "shared_expert": None}
    kinds = [("linear", LogisticRegression()), ("bayes", GaussianNB())]
    pool = [("linear", LinearRegression()), ("near", KNeighborsRegressor(5))]
    wrapped = MixtureOfExpertsRegressor(gate=ClassifierGate(GaussianNB()), **three).fit(X, y)
    grouped = HierarchicalGate(GaussianGate(), groups=[[0, 2], 1])
    return {
        "generalist": MixtureOfExpertsRegressor(
            gate=SoftmaxGate(degree=2), shared_expert="generalist", **few
        ).fit(X, disturbed),
        "consensus": MixtureOfExpertsRegressor(pool, shared_expert="consensus", **few).fit(X, y),
        "consensus of classes": MixtureOfExpertsClassifier(
            kinds, shared_expert="consensus", **few
        ).fit(X, np.where(disturbed > 0.5, "a", "b")),
        "another consensus of classes": MixtureOfExpertsClassifier(
            kinds, shared_expert="consensus", **few
        ).fit(X, np.where(scattered > 0.5, "a", "b")),
        "asked for one": MixtureOfExpertsClassifier(top_k=1, **three).fit(X, labels),
        "hierarchy": MixtureOfExpertsRegressor(Ridge(), gate=grouped, **three).fit(X, y),
        "cosine": MixtureOfExpertsRegressor(gate=CosineGate(), likelihood="laplace", **three).fit(
            X, y
        ),
        "an expert dropped": wrapped.drop_expert("expert_1"),
    }


def answers(model):
    """What a mixture says of the rows."""
    X = rows()[0]
    predict = getattr(model, "predict_proba", model.predict)
    return {"predictions": predict(X), "gate": model.gate_proba(X)}


def main(release):
    """Write what is not there yet."""
    warnings.simplefilter("ignore")
    fitted = models()
    for model in fitted.values():
        forest = getattr(model.shared_expert_, "correction", None)
        if forest is not None:  # two trees say as well whether a forest can be read
            forest.set_params(n_estimators=2).estimators_ = forest.estimators_[:2]
    stored = {name: (model, answers(model)) for name, model in fitted.items()}
    for suffix, module in {"pkl": pickle, "joblib": joblib}.items():
        path = FOLDER / f"{release}_sklearn{sklearn.__version__}.{suffix}"
        if not path.exists():
            with path.open("wb") as file:
                module.dump(stored, file)
            print(path.name, path.stat().st_size)


if __name__ == "__main__":
    main(sys.argv[1])
