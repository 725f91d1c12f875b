"""Benchmark data sets: a folder of gzip CSVs with a ``datasets.json``, encoded alike for all.

Nothing here depends on versions of scikit-learn, so that a seed draws the same rows everywhere and
methods that need other versions can be compared row by row.
"""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
TRAIN_SHARE = 0.7
MAX_TEST_ROWS = 5000
MIN_TRAIN_ROWS = 30  # of a data set: ten neighbours, inner folds
MIN_CLASS_ROWS = 10  # in the training part: each of five inner folds then has two
CATEGORIES = 20


class Unusable(ValueError):
    """A data set from which no split can be made; the message says why."""


class Split(NamedTuple):
    """Encoded training and test parts of one data set.

    A regression target is in standard deviations of the training part. Classes are 0..C-1, and
    all of them occur in the training part.
    """

    X: np.ndarray
    X_test: np.ndarray
    y: np.ndarray
    y_test: np.ndarray


def tasks(folder):
    """Name -> "regression" or "classification" of the data sets in a folder."""
    known = {"regression": "regression"} | dict.fromkeys(
        ("classification", "binary", "multiclass"), "classification"
    )
    found = {}
    for entry in json.loads((Path(folder) / "datasets.json").read_text()):
        if entry["task"] not in known:
            raise ValueError(
                f"{folder}/datasets.json: task {entry['task']!r} of {entry['name']!r} is none of "
                f"{sorted(known)}"
            )
        found[entry["name"]] = known[entry["task"]]
    return found


def load_split(folder, name, task, max_train_rows, seed):
    """Draw a training and a test part and encode them with what the training part shows.

    Numbers are imputed by the mean and standardised; of other columns the 20 most frequent values
    are one-hot encoded, a missing value being one more value. Rows without a target are left out,
    and so are classes with fewer than 10 training rows, from both parts: nobody can learn them,
    and inner cross-validation needs them in every fold.
    """
    frame = pd.read_csv(Path(folder) / f"{name}.csv.gz", low_memory=False)
    if "target" not in frame:
        raise Unusable("no column is named target")
    y = _target(frame.pop("target"), task)
    frame, y = _columns(frame[y.notna()]), y[y.notna()].to_numpy()
    if task == "classification":
        y = np.unique(y, return_inverse=True)[1]
    train, test = draw(y, task, max_train_rows, seed)
    if task == "classification":
        train, test, y = _frequent_classes(train, test, y)
    elif y[train].std() == 0:
        raise Unusable("the target is constant")
    if min(len(train) - MIN_TRAIN_ROWS, len(test) - 1, frame.shape[1] - 1) < 0:
        raise Unusable(
            f"{len(train)} training and {len(test)} test rows of {frame.shape[1]} columns: "
            f"at least {MIN_TRAIN_ROWS}, 1 and 1 are needed"
        )
    encoder = _encoder(frame.iloc[train])
    X, X_test = encoder.fit_transform(frame.iloc[train]), encoder.transform(frame.iloc[test])
    y, y_test = y[train], y[test]
    if task == "regression":
        y, y_test = (y - y.mean()) / y.std(), (y_test - y.mean()) / y.std()
    return Split(X, X_test, y, y_test)


def draw(y, task, max_train_rows, seed):
    """Positions of training and test rows: a random order, in which classes come evenly."""
    n = len(y)
    order = np.random.RandomState(seed).permutation(n)
    if task == "classification":  # by the fraction of its class that comes before a row
        place = np.empty(n)
        for code in np.unique(y):
            own = order[y[order] == code]
            place[own] = (np.arange(len(own)) + 0.5) / len(own)
        order = order[np.argsort(place[order], kind="stable")]
    n_train = min(max_train_rows, int(TRAIN_SHARE * n))
    return order[:n_train], order[n_train : n_train + MAX_TEST_ROWS]


def _target(column, task):
    """The target as numbers or as strings; what is neither is missing."""
    if task == "classification":
        return column.where(column.isna(), column.astype(str))
    if column.dtype == bool:
        return column.astype(float)
    return pd.to_numeric(column, errors="coerce").replace([np.inf, -np.inf], np.nan)


def _columns(frame):
    """Columns as finite floats with gaps, or as strings without."""
    made = {}
    for name in frame:
        column = frame[name]
        if pd.api.types.is_numeric_dtype(column):
            made[name] = column.astype(float).replace([np.inf, -np.inf], np.nan)
        else:
            made[name] = column.astype(object).where(column.notna(), "missing").astype(str)
    return pd.DataFrame(made, index=frame.index)


def _frequent_classes(train, test, y):
    """The parts without rare classes, and codes that count the others."""
    frequent = np.flatnonzero(np.bincount(y[train], minlength=y.max() + 1) >= MIN_CLASS_ROWS)
    if len(frequent) < 2:
        raise Unusable(f"fewer than two classes have {MIN_CLASS_ROWS} training rows")
    train, test = train[np.isin(y[train], frequent)], test[np.isin(y[test], frequent)]
    return train, test, np.searchsorted(frequent, y)


def _encoder(frame):
    numbers = [name for name in frame if frame[name].dtype == float]
    others = [name for name in frame if frame[name].dtype != float]
    return make_column_transformer(
        (make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler()), numbers),
        (
            OneHotEncoder(
                max_categories=CATEGORIES,
                handle_unknown="infrequent_if_exist",
                sparse_output=False,
            ),
            others,
        ),
    )
