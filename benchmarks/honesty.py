"""Does the log-likelihood that a mixture reports hold on new rows?

For each data set and kind of expert the mixture is fitted with the in-sample and with the
cross-fitted E-step. Printed per row of data: the log-likelihood that the fit reports, the one on
test rows, their difference (0 is honest, positive is boasting), and for comparison the
log-likelihood on test rows of the expert alone, as a mixture of one. Protocol: at most 1,200
training and 5,000 test rows, numeric columns standardised, others one-hot encoded, default
settings, one fixed split.

    python benchmarks/honesty.py [--data FOLDER]
"""

import argparse
import json
import warnings
from pathlib import Path

import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
NAMES = ("titanic", "german_credit", "phoneme", "adult", "insurance", "concrete", "kin8nm")
TRAIN_ROWS, TEST_ROWS = 1200, 5000
EXPERTS = {
    "regression": (
        MixtureOfExpertsRegressor,
        {"linear": Ridge(), "forest": RandomForestRegressor(30)},
    ),
    "classification": (
        MixtureOfExpertsClassifier,
        {"linear": LogisticRegression(max_iter=1000), "forest": RandomForestClassifier(30)},
    ),
}


def load(folder, name):
    """Encoded training and test parts of one data set."""
    frame = pd.read_csv(folder / f"{name}.csv.gz")
    y = frame.pop("target")
    train = min(TRAIN_ROWS, int(0.7 * len(frame)))
    test = min(TEST_ROWS, len(frame) - train)
    X, X_test, y, y_test = train_test_split(
        frame, y, train_size=train, test_size=test, random_state=0
    )
    numeric = make_column_selector(dtype_include="number")
    encoder = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), numeric),
        (
            OneHotEncoder(max_categories=20, handle_unknown="ignore", sparse_output=False),
            make_column_selector(dtype_exclude="number"),
        ),
    )
    return encoder.fit_transform(X), encoder.transform(X_test), y.to_numpy(), y_test.to_numpy()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder with datasets.json")
    folder = parser.parse_args().data
    tasks = {
        entry["name"]: "regression" if entry["task"] == "regression" else "classification"
        for entry in json.loads((folder / "datasets.json").read_text())
    }
    warnings.simplefilter("ignore", ConvergenceWarning)
    print(
        f"{'data':15}{'experts':9}{'E-step':10}{'reported':>10}{'on test':>10}{'boast':>8}  alone"
    )
    for name in filter(tasks.get, NAMES):
        X, X_test, y, y_test = load(folder, name)
        kind, experts = EXPERTS[tasks[name]]
        for label, expert in experts.items():
            alone = kind(expert, n_experts=1, random_state=0).fit(X, y)
            single = alone.score_samples(X_test, y_test).mean()
            for e_step in ("insample", "crossfit"):
                model = kind(expert, e_step=e_step, random_state=0, n_jobs=2).fit(X, y)
                test = model.score_samples(X_test, y_test).mean()
                print(
                    f"{name:15}{label:9}{e_step:10}{model.log_likelihood_:10.3f}{test:10.3f}"
                    f"{model.log_likelihood_ - test:8.3f}{single:7.3f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
