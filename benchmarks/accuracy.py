"""Is a mixture more accurate than what its experts offer without it?

Protocol, fixed before any result was seen:

- each data set of a folder (``datasets.json`` names them), ``--splits`` random splits with seeds
  0, 1, ...; at most ``--rows`` training rows (5,000), 30% or at most 5,000 rows for testing;
- columns encoded in the same way for all methods, by what the training part shows;
- every method with fixed settings of its own; nothing is chosen on test rows;
- losses on the test part: RMSE and MAE, or log-loss (probabilities clipped at 1e-6) and error;
  for mixtures also the negative log-likelihood of their density.

Results are appended to a CSV as they come, and what the file holds is not computed again. The
tables give, for the mixture with default settings against each other method of its family: the
geometric mean over data sets of the ratio of mean losses, data sets won, tied and lost (beyond two
standard errors of the paired differences over splits), the worst ratio, and the mixture's seconds
relative to the other's (geometric mean).

    python benchmarks/accuracy.py [--data FOLDER] [--family pool ...] [--sets NAME ...]
"""

import argparse
import time
import traceback
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from _data import DATA, load_split, tasks
from _methods import FAMILIES
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss, mean_absolute_error, root_mean_squared_error

KEYS = ["family", "method", "data", "seed"]
LOSS = {"regression": "rmse", "classification": "log_loss"}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder with datasets.json")
    parser.add_argument("--output", type=Path, default=Path("build/accuracy"))
    parser.add_argument("--family", nargs="+", choices=list(FAMILIES), default=list(FAMILIES))
    parser.add_argument("--sets", nargs="+", help="data sets (default: all)")
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--rows", type=int, default=5000, help="most training rows")
    return parser.parse_args()


def losses(model, split, task):
    """Losses of a fitted model on the test rows."""
    found = {}
    if task == "regression":
        prediction = model.predict(split.X_test)
        found["rmse"] = root_mean_squared_error(split.y_test, prediction)
        found["mae"] = mean_absolute_error(split.y_test, prediction)
    else:
        proba = np.clip(model.predict_proba(split.X_test), 1e-6, 1.0)
        proba /= proba.sum(axis=1, keepdims=True)
        found["log_loss"] = log_loss(split.y_test, proba, labels=model.classes_)
        found["error"] = np.mean(model.classes_[proba.argmax(axis=1)] != split.y_test)
    if hasattr(model, "log_likelihood_"):
        found["negative_log_likelihood"] = -model.score_samples(split.X_test, split.y_test).mean()
        found["reported_lift"] = model.lift_.over_best_expert
    return found


def run_one(method, split, task, seed):
    """Fit one method; a failure is a result too."""
    started = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = method(task, seed).fit(split.X, split.y)
        seconds = time.perf_counter() - started
        return losses(model, split, task) | {"seconds": seconds}
    except ImportError as error:
        return {"note": f"not installed: {error.name}"}
    except Exception as error:
        traceback.print_exc()
        return {"note": repr(error)[:200]}


def run(options):
    """Compute what the CSV lacks; return all of it."""
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / "results.csv"
    results = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=KEYS)
    done = set(results[KEYS].itertuples(index=False, name=None))
    kinds = tasks(options.data)
    for name in options.sets or kinds:
        for seed in range(options.splits):
            todo = [
                (family, label)
                for family in options.family
                for label in FAMILIES[family]
                if (family, label, name, seed) not in done
            ]
            if not todo:
                continue
            split = load_split(options.data, name, kinds[name], options.rows, seed)
            for family, label in todo:
                found = run_one(FAMILIES[family][label], split, kinds[name], seed)
                row = dict(zip(KEYS, (family, label, name, seed), strict=True))
                row |= {"task": kinds[name]} | found
                results = pd.concat([results, pd.DataFrame([row])], ignore_index=True)
                results.to_csv(path, index=False)
                loss = found.get(LOSS[kinds[name]], found.get("note"))
                print(f"{name:24} seed {seed} {family:16} {label:18} {loss}", flush=True)
    return results


def compare(results, family, against):
    """The default mixture of a family against another of its methods."""
    own = results[results.family == family].copy()
    own["loss"] = own["rmse"].fillna(own["log_loss"]) if "log_loss" in own else own["rmse"]
    table = own.pivot_table("loss", ["task", "data", "seed"], "method")
    seconds = own.pivot_table("seconds", ["data", "seed"], "method")
    if "skmoe" not in table or against not in table:
        return []
    rows = []
    for task, part in table[["skmoe", against]].dropna().groupby("task"):
        difference = (part["skmoe"] - part[against]).groupby("data")
        standard_error = difference.std(ddof=1) / np.sqrt(difference.count())
        mean = difference.mean()
        ratio = part.groupby("data").mean()
        ratio = ratio["skmoe"] / ratio[against]
        rows.append(
            {
                "family": family,
                "task": task,
                "against": against,
                "geometric mean": np.exp(np.log(ratio).mean()),
                "won": int((mean < -2 * standard_error).sum()),
                "tied": int((mean.abs() <= 2 * standard_error).sum()),
                "lost": int((mean > 2 * standard_error).sum()),
                "worst": ratio.max(),
                "worst on": ratio.idxmax(),
                "seconds": np.exp(np.log(seconds["skmoe"] / seconds[against]).mean()),
            }
        )
    return rows


def draw(results, path):
    """Dots: the ratio of losses to the default mixture's, a row a data set, a panel a family."""
    import matplotlib.pyplot as plt

    families = [family for family in FAMILIES if family in set(results.family)]
    figure, axes = plt.subplots(
        1, len(families), figsize=(4.6 * len(families), 6.5), sharey=True, squeeze=False
    )
    for ax, family in zip(axes[0], families, strict=True):
        own = results[results.family == family].copy()
        own["loss"] = own["rmse"].fillna(own["log_loss"]) if "log_loss" in own else own["rmse"]
        mean = own.pivot_table("loss", "data", "method")
        for marker, label in zip("osD^vPX", mean.columns.drop("skmoe"), strict=False):
            ax.plot(mean[label] / mean["skmoe"], mean.index, marker, label=label, alpha=0.8)
        ax.axvline(1.0, color="black", linewidth=1)
        ax.set(xscale="log", xlabel="loss / loss of skmoe", title=family)
        ax.grid(axis="y", alpha=0.3)
        ax.legend(fontsize=8)
    figure.suptitle("Right of the line: skmoe with default settings has the smaller loss")
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main():
    options = arguments()
    results = run(options)
    rows = [
        row
        for family in options.family
        for label in FAMILIES[family]
        if label != "skmoe"
        for row in compare(results, family, label)
    ]
    with pd.option_context("display.width", 160, "display.float_format", "{:.3f}".format):
        print("\n", pd.DataFrame(rows).to_string(index=False), sep="")
    draw(results, options.output / "accuracy.png")
    print(f"\n{options.output}/results.csv and accuracy.png")


if __name__ == "__main__":
    main()
