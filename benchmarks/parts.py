"""Where does the gain of a mixture with a shared expert come from?

For one split of each data set of ``accuracy.py``, losses of the parts of a default mixture on test
rows, as ratios to a model without skmoe: stacking of the same pool, or one linear model. "gate" is
the mixture without its shared expert, "shared" the shared expert alone, "whole" what `predict`
makes of the two. Of a consensus, "blend" is the part without the forest.

    python benchmarks/parts.py [--data FOLDER] [--family "linear copies"] [--sets NAME ...]
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from _data import DATA, load_split, tasks
from _methods import FAMILIES
from accuracy import losses
from threadpoolctl import threadpool_limits

RIVALS = {"pool": "stacking", "linear copies": "one linear"}


class Given:
    """A model that predicts what it is given."""

    def __init__(self, output):
        self.output = output

    def predict(self, X):
        return self.output

    predict_proba = predict


def outputs_of_parts(moe, X):
    """Name -> prediction (n,) or class probabilities (n, C)."""
    opinions, gate = moe.predict_experts(X), moe.gate_proba(X)
    if opinions.ndim == 3:  # (n, K, C)
        floor = moe.floor_[:, np.newaxis]
        parts = {
            "gate": np.einsum(
                "ik,ikc->ic", gate, (1 - floor) * opinions + floor / opinions.shape[2]
            )
        }
    else:
        parts = {"gate": np.einsum("ik,ik->i", gate, opinions)}
    shared = moe.shared_expert_
    if hasattr(shared, "blend"):
        parts["blend"] = shared.blend.predict(opinions)
        parts["shared"] = shared.predict(opinions, X)
    elif shared is not None:
        predict = shared.predict_proba if opinions.ndim == 3 else shared.predict
        parts["shared"] = np.ravel(predict(X)) if opinions.ndim == 2 else predict(X)
    return parts


def ratios(split, task, family):
    """Losses of the parts as ratios to the rival's, and what `fit` decided."""
    key = "rmse" if task == "regression" else "log_loss"
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        moe, rival = (
            FAMILIES[family][method](task, 0).fit(split.X, split.y)
            for method in ("skmoe", RIVALS[family])
        )
        parts = {
            name: Given(output) for name, output in outputs_of_parts(moe, split.X_test).items()
        }
        parts["whole"] = moe
        of_rival = losses(rival, split.X_test, split.y_test, task)[key]
        row = {
            name: losses(part, split.X_test, split.y_test, task)[key] / of_rival
            for name, part in parts.items()
        }
    return row | {"overlap_": moe.overlap_, "shared_weight_": moe.shared_weight_}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DATA, help="folder with datasets.json")
    parser.add_argument("--family", choices=list(RIVALS), default="pool")
    parser.add_argument("--sets", nargs="+", metavar="NAME", help="data sets (all)")
    parser.add_argument("--rows", type=int, default=1500, help="most training rows")
    options = parser.parse_args()
    kinds = tasks(options.data)
    table = {}
    for name in options.sets or kinds:
        split = load_split(options.data, name, kinds[name], options.rows, seed=0)
        table[name] = ratios(split, kinds[name], options.family)
        print(name, *(f"{key} {value:.3f}" for key, value in table[name].items()), flush=True)
    losses_of_parts = pd.DataFrame(table).T.drop(columns=["overlap_", "shared_weight_"])
    print("geometric mean", np.exp(np.log(losses_of_parts).mean()).round(3).to_dict())


if __name__ == "__main__":
    main()
