"""Write the bundles of this release that ``tests/io/test_bundle_history.py`` loads for ever.

    python tests/io/stored/make_bundles.py

Run it once for each format version, with the newest and with the oldest supported versions of the
packages, and commit the files. Never write a file anew that is there already.
"""

import warnings
from pathlib import Path

import numpy as np
import sklearn
from sklearn.linear_model import Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skmoe
from skmoe.io._format import VERSION

FOLDER = Path(__file__).parent


def rows():
    """Features and targets that any release of NumPy makes alike."""
    grid = np.arange(90.0)
    X = np.column_stack([np.sin(grid), np.cos(3 * grid), grid % 7 / 7])
    return X, np.where(X[:, 0] > 0, 2 * X[:, 1], -X[:, 2]), np.where(X[:, 1] > 0, "a", "b")


def models():
    """Mixtures of simple models, whose pickles scikit-learn has kept readable both ways."""
    X, y, labels = rows()
    experts = [("ridge", Ridge()), ("scaled", make_pipeline(StandardScaler(), Ridge(10.0)))]
    small = {"cv": 2, "max_iter": 3, "random_state": 0}
    return {
        "regressor": skmoe.MixtureOfExpertsRegressor(experts, **small).fit(X, y),
        "classifier": skmoe.MixtureOfExpertsClassifier(
            GaussianNB(), n_experts=2, gate_features=[0, 2], **small
        ).fit(X, labels),
    }


def main():
    """Write what is not there yet."""
    warnings.simplefilter("ignore")
    for kind, model in models().items():
        path = FOLDER / f"format{VERSION}_sklearn{sklearn.__version__}_{kind}.skmoe"
        if not path.exists():
            key = b"key of the committed bundles" if kind == "regressor" else None
            skmoe.dump(model, path, golden_rows=rows()[0], metadata={"kind": kind}, key=key)
            print(path.name, path.stat().st_size)


if __name__ == "__main__":
    main()
