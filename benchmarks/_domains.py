"""Cases of the domain benchmark: experts that know different parts of a data set.

A case takes a data set, says which domain each row belongs to, and trains one boosted model on the
rows of each of the four largest domains. What is left are calibration rows, which join the models,
and test rows; both come from all four domains in proportion.
"""

import json
from typing import NamedTuple

import numpy as np
import pandas as pd
from _data import _columns, _encoder, _target, tasks
from sklearn.cluster import KMeans
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.preprocessing import StandardScaler

N_DOMAINS = 4
EXPERT_ROWS = 4000
CALIBRATION_ROWS = 1600
TEST_ROWS = 4000

COLUMNS = {
    "california_housing": ["ocean_proximity", ["longitude", "latitude"]],
    "bike_sharing_hourly": ["season", ["hr", "temp", "hum"]],
    "adult": [["age", "education_num", "hours_per_week"]],
}
"""What makes domains: a column, or columns to make clusters of. Elsewhere: all numbers."""

LEAST_ROWS = 4000
"""A data set with fewer rows has none left to test on."""


class Rule(NamedTuple):
    """Which domain a row belongs to."""

    data: str
    by: object

    def __str__(self):
        by = self.by if isinstance(self.by, str) else " ".join(self.by)
        return f"{self.data} / {by}"


def rules(folder, alike):
    """The cases of a folder: domains that differ, or random quarters of the rows, alike."""
    entries = json.loads((folder / "datasets.json").read_text())
    large = [
        e["name"] for e in entries if e["n_rows"] >= LEAST_ROWS and e["name"] in tasks(folder)
    ]
    numeric = [
        name
        for name in large
        if name in COLUMNS or not next(e for e in entries if e["name"] == name)["n_categorical"]
    ]
    if alike:
        return [Rule(name, "random") for name in numeric]
    return [Rule(name, by) for name in numeric for by in COLUMNS.get(name, ["clusters"])]


class Case(NamedTuple):
    """Experts and rows; `domain` and `domain_test` are told to nobody but the oracle."""

    task: str
    experts: list
    X: np.ndarray
    y: np.ndarray
    domain: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    domain_test: np.ndarray
    X_experts: np.ndarray
    y_experts: np.ndarray


def load_case(folder, rule, seed):
    """Draw rows, train the experts.

    Parameters
    ----------
    folder : Path
    rule : Rule
    seed : int

    Returns
    -------
    case : Case
    """
    task = tasks(folder)[rule.data]
    frame = pd.read_csv(folder / f"{rule.data}.csv.gz", low_memory=False)
    frame = frame[frame["target"].notna()]
    y = _target(frame.pop("target"), task).to_numpy()
    if task == "classification":
        y = np.unique(y, return_inverse=True)[1]
    frame = _columns(frame)
    domain = _domains(frame, rule.by, seed)
    rows = np.random.RandomState(seed).permutation(np.flatnonzero(domain >= 0))
    n_experts = min(EXPERT_ROWS, len(rows) // 2)
    n_calibration = min(CALIBRATION_ROWS, (len(rows) - n_experts) // 2)
    parts = np.split(rows, [n_experts, n_experts + n_calibration])
    parts[2] = parts[2][:TEST_ROWS]
    encoder = _encoder(frame.iloc[parts[0]]).fit(frame.iloc[parts[0]])
    if task == "regression":
        own = y[parts[0]]
        y = (y - own.mean()) / own.std()
    X = [encoder.transform(frame.iloc[part]) for part in parts]
    experts = [
        (f"domain_{k}", _expert(task, X[0][own], y[parts[0]][own]))
        for k in range(N_DOMAINS)
        for own in [domain[parts[0]] == k]
    ]
    targets, domains = [y[part] for part in parts], [domain[part] for part in parts]
    return Case(
        task, experts, X[1], targets[1], domains[1], X[2], targets[2], domains[2], X[0], targets[0]
    )


def _domains(frame, by, seed):
    """Code 0..3 of each row's domain, -1 for rows of the smaller ones."""
    if by == "random":
        return np.random.RandomState(1000 + seed).randint(N_DOMAINS, size=len(frame))
    if isinstance(by, str) and by != "clusters":
        codes, counts = np.unique(frame[by].astype(str), return_inverse=True, return_counts=True)[
            1:
        ]
        largest = np.argsort(-counts)[:N_DOMAINS]
        place = np.full(len(counts), -1)
        place[largest] = np.arange(N_DOMAINS)
        return place[codes]
    numbers = frame.select_dtypes("number") if by == "clusters" else frame[by]
    numbers = StandardScaler().fit_transform(numbers.fillna(numbers.mean()))
    return KMeans(N_DOMAINS, n_init=3, random_state=seed).fit_predict(numbers)


def boosting(task):
    """The model that every domain trains."""
    kind = HistGradientBoostingRegressor
    if task == "classification":
        kind = HistGradientBoostingClassifier
    return kind(max_iter=60, random_state=0)


def _expert(task, X, y):
    single_class = task == "classification" and len(np.unique(y)) == 1
    model = DummyClassifier() if single_class else boosting(task)
    return FrozenEstimator(model.fit(X, y))
