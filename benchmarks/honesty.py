"""Does the log-likelihood that a mixture reports hold on new rows?

For each data set and kind of expert the mixture is fitted with the in-sample and with the
cross-fitted E-step. Printed per row of data: the log-likelihood that the fit reports, the one on
test rows, their difference (0 is honest, positive is boasting), and for comparison the
log-likelihood on test rows of the expert alone, as a mixture of one. Protocol: at most 1,200
training and 5,000 test rows, columns encoded and targets scaled by what the training part shows,
default settings, one fixed split.

    python benchmarks/honesty.py [--data FOLDER]
"""

import argparse
import warnings
from pathlib import Path

from _data import DATA, load_split, tasks
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor

NAMES = ("titanic", "german_credit", "phoneme", "adult", "insurance", "concrete", "kin8nm")
TRAIN_ROWS = 1200
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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder with datasets.json")
    folder = parser.parse_args().data
    kinds = tasks(folder)
    warnings.simplefilter("ignore", ConvergenceWarning)
    print(
        f"{'data':15}{'experts':9}{'E-step':10}{'reported':>10}{'on test':>10}{'boast':>8}  alone"
    )
    for name in filter(kinds.get, NAMES):
        X, X_test, y, y_test = load_split(folder, name, kinds[name], TRAIN_ROWS, seed=0)
        kind, experts = EXPERTS[kinds[name]]
        for label, expert in experts.items():
            alone = kind(expert, n_experts=1, random_state=0).fit(X, y)
            single = alone.log_density(X_test, y_test).mean()
            for e_step in ("insample", "crossfit"):
                model = kind(expert, e_step=e_step, random_state=0, n_jobs=2).fit(X, y)
                test = model.log_density(X_test, y_test).mean()
                print(
                    f"{name:15}{label:9}{e_step:10}{model.log_likelihood_:10.3f}{test:10.3f}"
                    f"{model.log_likelihood_ - test:8.3f}{single:7.3f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
