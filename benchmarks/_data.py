"""Benchmark data sets: a folder of gzip CSVs with a ``datasets.json``, encoded alike for all."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
MAX_TEST_ROWS = 5000


class Split(NamedTuple):
    """Encoded training and test parts of one data set; a regression target in training units."""

    X: np.ndarray
    X_test: np.ndarray
    y: np.ndarray
    y_test: np.ndarray


def tasks(folder):
    """Name -> "regression" or "classification" of the data sets in a folder."""
    entries = json.loads((folder / "datasets.json").read_text())
    return {
        entry["name"]: "regression" if entry["task"] == "regression" else "classification"
        for entry in entries
    }


def load_split(folder, name, task, max_train_rows, seed):
    """Draw a training and a test part and encode them with what the training part shows.

    Numbers are imputed and standardised; of other columns the 20 most frequent values are
    one-hot encoded. A regression target is standardised by the training part, so that losses of
    different data sets can be looked at side by side; ratios do not change by it.
    """
    frame = pd.read_csv(folder / f"{name}.csv.gz")
    y = frame.pop("target").to_numpy()
    train = min(max_train_rows, int(0.7 * len(frame)))
    X, X_test, y, y_test = train_test_split(
        frame,
        y,
        train_size=train,
        test_size=min(MAX_TEST_ROWS, len(frame) - train),
        random_state=seed,
        stratify=y if task == "classification" else None,
    )
    encoder = make_column_transformer(
        (
            make_pipeline(SimpleImputer(), StandardScaler()),
            make_column_selector(dtype_include="number"),
        ),
        (
            OneHotEncoder(
                max_categories=20, handle_unknown="infrequent_if_exist", sparse_output=False
            ),
            make_column_selector(dtype_exclude="number"),
        ),
    )
    X, X_test = encoder.fit_transform(X), encoder.transform(X_test)
    if task == "regression":
        y, y_test = (y - y.mean()) / y.std(), (y_test - y.mean()) / y.std()
    return Split(X, X_test, y, y_test)
