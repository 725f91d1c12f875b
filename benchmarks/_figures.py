"""Figures of the accuracy benchmark."""

from pathlib import Path

import numpy as np
import pandas as pd

SMALLEST = 1e-6
"""Losses below it count as this much in ratios."""

TASKS = {
    "regression": ("RMSE", "tab:blue", 0.16),
    "classification": ("log-loss", "tab:orange", -0.16),
}
"""Task -> name of the loss, colour, and how far above its row a dot is drawn."""


def _pyplot():
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def draw(results, reference, path: Path):
    """Dots: loss over that of the reference, a row a method, a dot a data set."""
    plt = _pyplot()
    families = {
        family: own
        for family, own in results.groupby("family", sort=False)
        if own["method"].nunique() > 1
    }
    if not families:
        return
    heights = [own["method"].nunique() - 1 for own in families.values()]
    figure, axes = plt.subplots(
        len(families),
        1,
        figsize=(9.5, 1.2 + 0.5 * sum(heights) + 0.45 * len(families)),
        sharex=True,
        squeeze=False,
        height_ratios=[height + 0.2 for height in heights],
        layout="constrained",
    )
    for ax, (family, own) in zip(axes[:, 0], families.items(), strict=True):
        _draw_family(ax, family, own, reference)
    axes[-1, 0].set_xlabel(
        "loss / loss of the reference; right of the line the reference is better"
    )
    entries = {}
    for ax in axes[:, 0]:
        handles, labels = ax.get_legend_handles_labels()
        entries |= dict(zip(labels, handles, strict=True))
    figure.legend(
        entries.values(), entries, loc="outside upper center", ncols=len(entries), frameon=False
    )
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _draw_family(ax, family, own, reference):
    """One panel: small dots are data sets, the diamond is their geometric mean."""
    from matplotlib.ticker import LogLocator, NullLocator

    losses = own.pivot_table("loss", ["task", "data", "seed"], "method", sort=False)
    chosen = reference if reference in losses else losses.columns[0]
    ratios = {
        method: _ratios(losses[[method, chosen]].dropna())
        for method in losses.columns.drop(chosen)
    }
    centres = pd.Series({method: np.exp(np.log(ratio).mean()) for method, ratio in ratios.items()})
    centres = centres.dropna().sort_values(ascending=False)
    for place, (method, centre) in enumerate(centres.items()):
        for task, part in ratios[method].groupby("task"):
            loss, colour, above = TASKS[task]
            style = {"markersize": 5, "color": colour, "alpha": 0.65, "markeredgewidth": 0}
            ax.plot(part, np.full(len(part), place + above), "o", label=f"{task}: {loss}", **style)
        ax.plot(centre, place, "D", color="black", markersize=6, label="geometric mean")
        right = {"xycoords": ("axes fraction", "data"), "va": "center", "fontsize": 9}
        ax.annotate(f"{centre:.2f}", (1.01, place), **right)
    ax.axvline(1, color="black", linewidth=1)
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 1.4, 2.0, 3.0, 5.0, 7.0)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_yticks(range(len(centres)), centres.index)
    ax.set_ylim(-0.6, len(centres) - 0.4)
    sets = losses[chosen].dropna().index.get_level_values("data").nunique()
    ax.set_title(f"{family}, {sets} data sets; reference: {chosen}", loc="left", fontsize=10)
    ax.grid(alpha=0.3)


def _ratios(both):
    """Mean loss over that of the other method, for each data set, on the splits of both."""
    mean = both.groupby(["task", "data"]).mean().clip(lower=SMALLEST)
    return mean.iloc[:, 0] / mean.iloc[:, 1]


def draw_excess(table, goal, path: Path):
    """Dots: the excess as a fraction of stacking's, a row a problem."""
    plt = _pyplot()
    problems = table.iloc[::-1].set_index("data")
    drawn = problems.columns[problems.columns.get_loc("goal") + 1 :]
    figure, ax = plt.subplots(figsize=(8.5, 5), layout="constrained")
    for label, marker in zip(drawn, "s^oDvP", strict=False):
        ax.plot(problems[label], problems.index, marker, label=label, alpha=0.85)
    ax.axvline(1, color="black", linewidth=1)
    ax.axvline(goal, color="black", linewidth=1, linestyle=":")
    ax.set_xlabel("excess over the oracle that knows the regimes / stacking's; dotted: the goal")
    ax.set_xlim(min(-0.05, problems[drawn].min().min() - 0.05), None)
    ax.grid(axis="y", alpha=0.3)
    figure.legend(loc="outside upper center", ncols=len(drawn), frameon=False)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def draw_domains(results, reference, path: Path):
    """Lines: loss over that of the reference against the number of calibration rows."""
    plt = _pyplot()
    kinds = [kind for kind in (False, True) if (results["alike"] == kind).any()]
    figure, axes = plt.subplots(
        1,
        len(kinds),
        figsize=(6.2 * len(kinds), 4.6),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    shown = {
        "skmoe": ("#0072B2", "-", 2.4),
        "skmoe, top_k=1": ("#56B4E9", "-", 1.4),
        "constant weights": ("#999999", "-", 1.4),
        "stacking, trees with passthrough": ("#E69F00", "-", 1.4),
        "told the domain": ("#000000", ":", 1.4),
        "one model of all rows": ("#009E73", ":", 1.4),
    }
    for ax, kind in zip(axes[0], kinds, strict=True):
        own = results[results["alike"] == kind]
        pivot = own.pivot_table("loss", ["case", "rows", "seed"], "method")
        logs = np.log(pivot.div(pivot[reference], axis=0)).groupby("rows").mean()
        for name, (colour, style, width) in shown.items():
            if name in logs:
                ax.plot(logs.index, np.exp(logs[name]), style, color=colour, lw=width, label=name)
        ax.axhline(1, color="0.6", lw=0.8)
        ax.set(
            xscale="log",
            xlabel="labelled rows of all domains",
            title="domains that hardly differ" if kind else "domains that differ",
        )
        ax.set_xticks(list(logs.index), [str(rows) for rows in logs.index])
        ax.minorticks_off()
    axes[0, 0].set_ylabel(f"loss / loss of {reference}, mean of the cases")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(path, dpi=130)
    plt.close(figure)
