"""What settings make of time and loss: the part ``settings`` of cost.py.

Each line is the geometric mean over data sets of a fit with one parameter changed, beside the fit
with defaults on the same rows.
"""

import warnings

import numpy as np
from _cost_copies import loss_of, seconds_of
from _data import load_split, tasks
from _methods import copies

from skmoe.gates import SoftmaxGate

SETS = ["concrete", "kin8nm", "phoneme"]
"""Data sets that are used unless others are named."""

SETTINGS = {
    "tree": {
        "overlap=0.0": {"overlap": 0.0},
        "gate=SoftmaxGate()": {"gate": SoftmaxGate()},
        "init='leaves'": {"init": "leaves"},
        "cv=3": {"cv": 3},
        "shared_expert=None": {"shared_expert": None},
        "max_iter=5": {"max_iter": 5},
    },
    "linear": {
        "overlap=0.0": {"overlap": 0.0},
        "gate=SoftmaxGate()": {"gate": SoftmaxGate()},
        "init='leaves'": {"init": "leaves"},
        "cv=3": {"cv": 3},
        "max_iter=10": {"max_iter": 10},
        "tol=0.005": {"tol": 0.005},
        "e_step='insample'": {"e_step": "insample"},
        "all of overlap=0.0, SoftmaxGate(), 'leaves'": {
            "overlap": 0.0,
            "gate": SoftmaxGate(),
            "init": "leaves",
        },
    },
}
"""Kind of experts -> what is printed -> parameters."""


def report(data, names, rows, seed):
    """Print a table for trees and one for linear experts."""
    kinds = tasks(data)
    names = names or [name for name in SETS if name in kinds] or list(kinds)
    warnings.simplefilter("ignore")
    for kind, settings in SETTINGS.items():
        figures = {label: [] for label in ("default", *settings)}
        for name in names:
            X, X_test, y, y_test = load_split(data, name, kinds[name], rows, seed)
            copies(kinds[name], seed, "linear").fit(X[:200], y[:200])  # loads compiled code
            for label, own in figures.items():
                model = copies(kinds[name], seed, kind).set_params(**settings.get(label, {}))
                own.append((seconds_of(model, X, y), loss_of(model, X_test, y_test, kinds[name])))
        print(f"{kind}, {', '.join(names)}, of the default")
        base = np.array(figures["default"])
        for label, own in figures.items():
            seconds, loss = np.exp(np.log(np.array(own) / base).mean(axis=0))
            print(f"  {label:46}time {seconds:6.2f}  loss {loss:6.3f}", flush=True)
