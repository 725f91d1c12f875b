"""What does fitting a mixture cost beside stacking the same experts with the same folds?

Both fit every expert once per fold and once on all rows; a mixture with ``overlap=1`` then learns
a gate, stacking a linear model. With ``e_step="oob"`` forests are judged on their out-of-bag rows,
so that the fits per fold fall away. Protocol: five folds, one thread, the two fitted in turns, the
fastest of ``--repeats`` each; the splits of ``accuracy.py``. Seconds are the processor's: on an
idle machine the same with one thread, and less disturbed by other work. The first fit, which
loads compiled code, is not counted.

This is the part ``pools`` of ``cost.py``.
"""

import time
import warnings

import numpy as np
from _data import load_split, tasks
from _methods import pool
from sklearn.ensemble import (
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    StackingRegressor,
)
from sklearn.model_selection import KFold, StratifiedKFold

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor

GOALS = {"crossfit": 1.1, "oob": 0.5}
"""Most seconds, as a multiple of stacking's."""


def forests(task, seed):
    """Four forests that differ in how they are grown."""
    kind = RandomForestRegressor if task == "regression" else RandomForestClassifier
    settings = {
        "few columns": {"max_features": 0.3},
        "half of the columns": {"max_features": 0.5},
        "all columns": {"max_features": 1.0},
        "large leaves": {"min_samples_leaf": 10},
    }
    return [(name, kind(random_state=seed, **params)) for name, params in settings.items()]


POOLS = {"crossfit": ("five different", pool), "oob": ("four forests", forests)}
"""E-step -> what the experts are called, and what makes them."""


def mixture_and_stack(task, e_step):
    """The two rivals, not fitted."""
    experts = POOLS[e_step][1](task, 0)
    if task == "regression":
        mixture, stack, folds = MixtureOfExpertsRegressor, StackingRegressor, KFold
    else:
        mixture, stack, folds = MixtureOfExpertsClassifier, StackingClassifier, StratifiedKFold
    cv = folds(5, shuffle=True, random_state=0)
    return mixture(experts, overlap=1.0, e_step=e_step, cv=cv, random_state=0), stack(
        experts, cv=cv
    )


def fastest(models, X, y, repeats):
    """Seconds of the fastest fit of each model; the models take turns."""
    seconds = np.empty((repeats, len(models)))
    for row in seconds:
        for column, model in enumerate(models):
            started = time.process_time()
            model.fit(X, y)
            row[column] = time.process_time() - started
    return seconds.min(axis=0)


def report(data, names, rows, repeats):
    """Print seconds beside stacking's for data sets of a folder (the first three of each task)."""
    kinds = tasks(data)
    names = names or [
        name
        for task in ("regression", "classification")
        for name in [name for name in kinds if kinds[name] == task][:3]
    ]
    warnings.simplefilter("ignore")
    ratios = {e_step: [] for e_step in GOALS}
    print(f"{'data':26}{'experts':16}{'E-step':10}{'skmoe':>9}{'stacking':>10}{'ratio':>8}")
    for name in names:
        X, _, y, _ = load_split(data, name, kinds[name], rows, seed=0)
        for e_step in GOALS:
            models = mixture_and_stack(kinds[name], e_step)
            if not ratios[e_step]:
                models[0].fit(X, y)
            own, other = fastest(models, X, y, repeats)
            ratios[e_step].append(own / other)
            print(
                f"{name:26}{POOLS[e_step][0]:16}{e_step:10}{own:8.2f}s{other:9.2f}s"
                f"{own / other:8.2f}",
                flush=True,
            )
    for e_step, goal in GOALS.items():
        mean, worst = np.exp(np.log(ratios[e_step]).mean()), max(ratios[e_step])
        verdict = "met" if mean <= goal else "MISSED"
        print(
            f"{verdict:8}{POOLS[e_step][0]}, {e_step}: geometric mean {mean:.2f}, worst "
            f"{worst:.2f}, goal at most {goal}"
        )
