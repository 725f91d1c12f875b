"""Tables of the accuracy benchmark; README.md says how to read them."""

import itertools

import numpy as np
import pandas as pd
from _figures import SMALLEST, draw, draw_excess
from _methods import FAMILIES
from scipy import stats

LOSS = {"regression": "rmse", "classification": "log_loss"}
SECOND = {"regression": "mae", "classification": "error"}
BEST_SELECTOR = "DESlib, better"
COMBINERS = ("stacking", "stacking, trees with passthrough", "greedy selection", "average")
BEST_COMBINER = "best combiner"
GOALS = [
    ("pool", "stacking", 0.955, 1.02),
    ("pool", "greedy selection", 0.96, 1.02),
    ("pool", BEST_COMBINER, 0.98, 1.02),
    ("pool", "best single", 0.95, 1.01),
    ("pool", BEST_SELECTOR, 0.95, None),
    ("forest copies", "one forest", 0.96, 1.01),
    ("linear copies", "one linear", 0.80, 1.01),
    ("tree copies", "bagging", 0.93, 1.01),
    ("linear copies", "linear-tree", 0.95, None),
    ("linear copies", "cgmm", 0.95, None),
]
"""Family, rival, largest geometric mean of the ratios, largest ratio. Against DESlib the accuracy
must not be lower on average, too."""
HALF = 0.5
"""Goal for the excess over the oracle, as a fraction of stacking's."""


def report(results, reference, folder):
    """Print the tables, and write them and the figures into `folder`."""
    results = with_loss(in_order(results))
    failures(results)
    results = results[results["note"].isna()]
    versions = "; ".join(sorted(set(results["versions"])))
    print(f"\n{results['seed'].nunique()} splits, computed with {versions}")
    is_problem = results["family"] == "generators"
    if is_problem.any():
        table = excess(results[is_problem])
        show(table, "Excess over the oracle that knows the regimes, as a fraction of stacking's")
        table.to_csv(folder / "excess.csv", index=False)
        draw_excess(table, HALF, folder / "excess.png")
        print(f"\n{folder}: results.csv, excess.csv, excess.png")
    if not is_problem.all():
        report_families(results[~is_problem], reference, folder)


def report_families(results, reference, folder):
    """The tables of all methods on data sets."""
    losses = results.pivot_table("loss", ["task", "data"], ["family", "method"], sort=False)
    losses.to_csv(folder / "losses.csv")
    selectors = results.loc[results["method"].str.startswith("DESlib"), "method"].unique()
    table = pairs(
        with_best(with_best(results, selectors, BEST_SELECTOR), COMBINERS, BEST_COMBINER)
    )
    table.to_csv(folder / "pairs.csv", index=False)
    for family, own in table.groupby("family", sort=False):
        chosen = reference if reference in set(own["method"]) else own["method"].iloc[0]
        own = own[own["method"] == chosen].drop(columns=["family", "method"])
        show(own, f"{family}: {chosen} against each other method")
    show(seconds(results), "Seconds to fit, as multiples of the family's cheapest")
    reached = goals(table)
    if len(reached):
        show(reached, "Goals")
    draw(results, reference, folder / "accuracy.png")
    print(f"\n{folder}: results.csv, losses.csv, pairs.csv, accuracy.png")


def failures(results):
    """Say what failed, where and why."""
    for (method, note), part in results.groupby(["method", "note"]):
        print(f"failed: {method} on {', '.join(sorted(set(part['data'])))}: {note}")


def show(table, title):
    table = table.astype(object).where(table.notna(), "")
    with pd.option_context("display.width", 200, "display.float_format", "{:.3f}".format):
        print(f"\n{title}\n{table.to_string(index=False)}")


def in_order(results):
    """Results as FAMILIES has them; they were written as they came."""
    place = {
        (family, method): number
        for number, (family, method) in enumerate(
            (family, method) for family in FAMILIES for method in FAMILIES[family]
        )
    }
    keys = zip(results["family"], results["method"], strict=True)
    order = pd.Series([place.get(key, len(place)) for key in keys], index=results.index)
    return results.loc[order.sort_values(kind="stable").index]


def with_loss(results):
    """Results with the columns loss and second: what decides, and what is looked at, too."""
    columns = {
        column: sum(
            (results["task"] == task) * results[name].fillna(0.0) for task, name in names.items()
        )
        for column, names in (("loss", LOSS), ("second", SECOND))
    }
    return results.assign(**columns)


def with_best(results, methods, name):
    """Results with one more rival: of several methods for pools the best one of each data set.

    It is chosen by test loss, which is in its favour.
    """
    own = results[results["method"].isin(methods) & (results["family"] == "pool")]
    if own.empty:
        return results
    mean = own.groupby(["data", "method"])["loss"].mean()
    best = {(data, method) for data, method in mean.groupby("data").idxmin()}
    chosen = [pair in best for pair in zip(own["data"], own["method"], strict=True)]
    return pd.concat([results, own[chosen].assign(method=name)], ignore_index=True)


def pairs(results):
    """Each method of a family against each other, over all data sets and by task."""
    rows = []
    for family, own in results.groupby("family", sort=False):
        methods = list(dict.fromkeys(own["method"]))
        for method, rival in itertools.permutations(methods, 2):
            both = _on_the_same_splits(own, method, rival)
            parts = {"all": both, **dict(list(both.groupby("task")))}
            for task, part in parts.items():
                if len(part) and not (task == "all" and len(parts) == 2):
                    row = {"family": family, "method": method, "against": rival, "task": task}
                    rows.append(row | compared(part, task))
    table = pd.DataFrame(rows)
    return table.astype(dict.fromkeys(("won", "tied", "lost"), "Int64") if rows else {})


def _on_the_same_splits(own, method, rival):
    keys = ["task", "data", "seed"]
    columns = [*keys, "loss", "second", "seconds", "n_train", "n_test"]
    mine, theirs = (own.loc[own["method"] == label, columns] for label in (method, rival))
    return mine.merge(theirs.drop(columns=["n_train", "n_test"]), on=keys, suffixes=("", "_rival"))


def compared(both, task):
    """Figures for one pair of methods on the same splits.

    won, tied, lost: data sets by a paired t-test at 5% over the splits, whose variance allows for
    the rows that training parts share (Nadeau and Bengio 2003); None where there is one split.
    p: Wilcoxon signed-rank test over data sets.
    """
    mean = both.groupby("data")[["loss", "loss_rival", "second", "second_rival"]].mean()
    ratio = mean["loss"].clip(lower=SMALLEST) / mean["loss_rival"].clip(lower=SMALLEST)
    verdicts = [_verdict(part) for _, part in both.groupby("data")]
    row = {
        "sets": len(ratio),
        "ratio": _geometric_mean(ratio),
        "smaller": int((ratio < 1).sum()),
        "won": verdicts.count(-1),
        "tied": verdicts.count(0),
        "lost": verdicts.count(1),
        "p": _signed_rank(np.log(ratio)),
        "worst": ratio.max(),
        "worst on": ratio.idxmax(),
    }
    if both["seed"].nunique() == 1:
        row |= dict.fromkeys(("won", "tied", "lost"))
    if task == "regression":
        row["MAE ratio"] = _geometric_mean(mean["second"] / mean["second_rival"])
    if task == "classification":
        row["accuracy gain"] = (mean["second_rival"] - mean["second"]).mean()
    row["seconds ratio"] = _geometric_mean(both["seconds"] / both["seconds_rival"])
    return row


def _verdict(part):
    """-1 if the loss is smaller than the rival's beyond chance on a data set, 1 if larger."""
    difference = (part["loss"] - part["loss_rival"]).to_numpy()
    n = len(difference)
    if n < 2:
        return 0
    shared = (part["n_test"] / part["n_train"]).mean()
    error = difference.std(ddof=1) * np.sqrt(1 / n + shared)
    if abs(difference.mean()) <= stats.t.ppf(0.975, n - 1) * error:
        return 0
    return int(np.sign(difference.mean()))


def _signed_rank(differences):
    """p-value over data sets; too few cannot show anything."""
    differences = differences[differences != 0]
    return stats.wilcoxon(differences).pvalue if len(differences) > 4 else np.nan


def _geometric_mean(ratios):
    return float(np.exp(np.log(ratios).mean()))


def seconds(results):
    """For each method the geometric mean over data sets of its share of the cheapest's time."""
    mean = results.groupby(["family", "method", "data"], sort=False)["seconds"].mean()
    cheapest = mean.groupby(["family", "data"]).transform("min")
    multiples = (mean / cheapest).groupby(["family", "method"], sort=False).agg(_geometric_mean)
    table = pd.DataFrame({"times the cheapest": multiples, "median seconds": np.nan})
    table["median seconds"] = mean.groupby(["family", "method"], sort=False).median()
    return table.reset_index()


def goals(table):
    """The default mixture against its goals, over all data sets of both tasks."""
    rows = []
    for family, rival, at_most, worst in GOALS:
        own = table[table["family"] == family]
        own = own[(own["method"] == "skmoe") & (own["against"] == rival)]
        if own.empty:
            continue
        row = own.iloc[0]  # "all", or the only task
        gain = row["accuracy gain"] if rival == BEST_SELECTOR else None
        met = (
            row["ratio"] <= at_most
            and (worst is None or row["worst"] <= worst)
            and (gain is None or gain >= 0)
        )
        rows.append(
            {
                "family": family,
                "skmoe against": rival,
                "sets": row["sets"],
                "ratio": row["ratio"],
                "goal": at_most,
                "worst": row["worst"],
                "worst goal": worst,
                "worst on": row["worst on"],
                "accuracy gain": gain,
                "": "met" if met else "MISSED",
            }
        )
    return pd.DataFrame(rows)


def excess(problems):
    """Loss above the oracle's for each problem, as a fraction of stacking's.

    The goal can be reached where regimes do not overlap. Where they do, even who knows the mixture
    may have more than half of stacking's excess. A mean is given where no problem is lacking.
    """
    losses = problems.pivot_table("loss", ["data", "seed"], "method", sort=False)
    if not {"oracle", "stacking"} <= set(losses):
        raise SystemExit("the excess needs the methods oracle and stacking")
    losses = losses.dropna(subset=["oracle", "stacking"])
    above = losses.sub(losses["oracle"], axis=0)
    mean = pd.DataFrame({"oracle": losses["oracle"], "stacking": above["stacking"]})
    mean = mean.groupby("data", sort=False).mean()
    fractions = pd.DataFrame(index=mean.index)
    for method in above.columns.drop(["oracle", "stacking"]):
        both = above[[method, "stacking"]].dropna().groupby("data").mean()
        fractions[method] = both[method] / both["stacking"]
    sharp = fractions[~fractions.index.str.contains("overlap")]
    fractions.loc["mean"] = fractions.mean(skipna=False)
    fractions.loc["mean without overlap"] = sharp.mean(skipna=False)
    fractions.insert(0, "oracle", mean["oracle"])
    fractions.insert(1, "stacking's excess", mean["stacking"])
    fractions.insert(2, "goal", HALF)
    return fractions.reset_index()
