"""What becomes of old rows when an expert for new ones is added?

Bike sharing: a mixture of boosted models of three seasons, frozen, joined by 400 rows of these
seasons. Then comes the fourth: a model of its own, and 400 rows of it. They are given to
`add_expert` alone; and with 100, 200 and 400 other rows of the old seasons as `old_rows`. All are
given to a new `fit` beside the first ones. Figures are RMSE on test rows of the old and of the new
season, in standard deviations of the target, and whether the operation warned.

    python benchmarks/surgery.py [--data FOLDER] [--seeds 3]
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
from _data import DATA
from _domains import Rule, load_case
from sklearn.metrics import root_mean_squared_error
from threadpoolctl import threadpool_limits

from skmoe import MixtureOfExpertsRegressor

CASE = Rule("bike_sharing_hourly", "season")
ROWS = 400


def measured(case):
    """Name -> RMSE of old rows, of new rows, and whether there was a warning."""
    is_new = case.domain == 3
    X_old, y_old = (part[~is_new] for part in (case.X, case.y))
    X_new, y_new = (part[is_new][:ROWS] for part in (case.X, case.y))
    before = MixtureOfExpertsRegressor(case.experts[:3], random_state=0)
    before.fit(X_old[:ROWS], y_old[:ROWS])
    name, expert = case.experts[3]
    models = {"before": (before, False)}
    for n_kept in (0, 100, 200, 400):
        own = slice(ROWS, ROWS + n_kept)  # which the mixture has not seen
        kept = (X_old[own], y_old[own]) if n_kept else None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            model = before.add_expert(name, expert, X_new, y_new, old_rows=kept)
        told = "new rows only" if kept is None else f"old_rows: {n_kept}"
        models[told] = (model, any("old_rows" in str(each.message) for each in caught))
    known = slice(2 * ROWS)
    both = np.concatenate([X_old[known], X_new]), np.concatenate([y_old[known], y_new])
    models["fit on all"] = (MixtureOfExpertsRegressor(case.experts, random_state=0).fit(*both), 0)
    tested = case.domain_test == 3
    return {
        told: (*(rmse(model, case, own) for own in (~tested, tested)), warned)
        for told, (model, warned) in models.items()
    }


def rmse(model, case, rows):
    return root_mean_squared_error(case.y_test[rows], model.predict(case.X_test[rows]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder with datasets.json")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    with threadpool_limits(1):
        runs = [measured(load_case(options.data, CASE, seed)) for seed in range(options.seeds)]
    print(f"{'':16}{'old rows':>10}{'new rows':>10}{'warned':>8}")
    for told in runs[0]:
        old, new, warned = np.mean([run[told] for run in runs], axis=0)
        print(f"{told:16}{old:10.3f}{new:10.3f}{warned:8.0%}")


if __name__ == "__main__":
    main()
