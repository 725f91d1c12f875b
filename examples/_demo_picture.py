"""The picture of the demo. Needs matplotlib, the extra ``plot``."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import MaxNLocator

# Okabe and Ito's palette, which colour-blind readers can tell apart. A family of models keeps
# its colour in all panels.
COLOURS = {
    "forest": "#009E73",
    "forests": "#009E73",
    "boosting": "#E69F00",
    "linear": "#0072B2",
    "k-NN": "#CC79A7",
    "the pool": "#D55E00",
}
PEER = "0.45"
TWO_EXPERTS = LinearSegmentedColormap.from_list("two", ["#56B4E9", "#FFFFFF", "#E69F00"])


def draw(results, fitted, regions, title, path):
    """Draw losses, the gate's regions, who answers, and the course of EM.

    Parameters
    ----------
    results : dict
        By data set and model: ``figure``, ``paired_se`` and ``accuracy``.
    fitted : dict
        By data set: the fitted mixtures of the pool and of linear experts, by name.
    regions : tuple (mixture, X, y)
        A mixture of two experts whose gate sees two columns of the frame X.
    title : str
    path : path-like
        Where to write the PNG.
    """
    plt.rcParams.update({"font.size": 10, "axes.titlesize": 11, "axes.titleweight": "bold"})
    figure = plt.figure(figsize=(15.5, 9.4), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.08, wspace=0.02)
    columns = figure.add_gridspec(1, 3, width_ratios=[1.0, 1.2, 0.95])
    draw_losses(figure, columns[0].subgridspec(len(results), 1), results)
    draw_regions(figure.add_subplot(columns[1]), *regions)
    right = columns[2].subgridspec(2, 1)
    draw_utilization(figure.add_subplot(right[0]), fitted)
    draw_path(figure.add_subplot(right[1]), fitted)
    figure.suptitle(title, fontsize=13, linespacing=1.4)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def colour_of(model):
    return COLOURS[model.removeprefix("mixture of ")] if "mixture" in model else PEER


def plain(axes, keep=("bottom",)):
    axes.spines[[side for side in ("top", "right", "left", "bottom") if side not in keep]].set(
        visible=False
    )


def draw_losses(figure, grid, results):
    for number, (name, of_model) in enumerate(results.items()):
        axes = figure.add_subplot(grid[number])
        best = min(of_model, key=lambda model: of_model[model]["figure"])
        axes.axvline(of_model[best]["figure"], color="0.8", linewidth=1, zorder=0)
        for row, (model, result) in enumerate(of_model.items()):
            colour = colour_of(model)
            axes.errorbar(
                result["figure"],
                row,
                xerr=result["paired_se"],
                fmt="o" if "mixture" in model else "s",
                markersize=8 if "mixture" in model else 6,
                color=colour,
                elinewidth=2,
            )
        axes.set_yticks(range(len(of_model)), of_model)
        for label, model in zip(axes.get_yticklabels(), of_model, strict=True):
            label.set_color(colour_of(model) if "mixture" in model else "0.25")
            label.set_fontweight("bold" if model == best else "normal")
        axes.tick_params(axis="y", length=0)
        axes.invert_yaxis()
        axes.xaxis.set_major_locator(MaxNLocator(5))
        regression = np.isnan(result["accuracy"])
        axes.set_title(f"{name}: held-out {'RMSE' if regression else 'log-loss'}", loc="left")
        plain(axes)
        axes.grid(axis="x", color="0.93")
        axes.set_axisbelow(True)
    axes.set_xlabel(
        "smaller is better; bold: the best; bars: one standard\n"
        "error of the paired difference to the best peer"
    )


def draw_regions(axes, mixture, X, y):
    columns = list(mixture.gate_.feature_names_in_)
    shown = X[columns].to_numpy()
    low, high = shown.min(axis=0), shown.max(axis=0)
    margin = (high - low) * [0.09, 0.26]  # room for the legends of the experts
    low, high = low - margin, high + margin
    across, up = np.meshgrid(*[np.linspace(a, b, 200) for a, b in zip(low, high, strict=True)])
    points = type(X)(np.column_stack([across.ravel(), up.ravel()]), columns=columns)
    second = mixture.gate_.predict_proba(points)[:, 1].reshape(across.shape)
    shades = {"cmap": TWO_EXPERTS, "vmin": 0, "vmax": 1}
    axes.pcolormesh(across, up, second, alpha=0.55, rasterized=True, linewidth=0, **shades)
    axes.contour(across, up, second, [0.5], colors="0.2", linewidths=2)
    dots = axes.scatter(
        *shown.T, c=mixture.responsibilities(X, y)[:, 1], edgecolor="0.2", lw=0.6, s=28, **shades
    )
    bar = axes.figure.colorbar(dots, ax=axes, location="bottom", aspect=45, pad=0.02, shrink=0.8)
    bar.outline.set_visible(False)
    bar.set_label(
        "probability of expert 1: background, what the gate says of a place;\n"
        "dots, patients once their outcome is known; line, even odds"
    )
    plain(axes, keep=("left", "bottom"))
    axes.set_xlabel("body mass index (kg/m²)")
    axes.set_ylabel("logarithm of serum triglycerides")
    axes.set_title(
        "diabetes: who answers where\n(two linear experts, a gate that sees two columns)"
    )
    up_there = int(second[-1, -1] > 0.5)  # the expert of the upper right corner
    corners = {
        up_there: (0.985, 0.985, "right", "top"),
        1 - up_there: (0.015, 0.015, "left", "bottom"),
    }
    for k, (x, y, ha, va) in corners.items():
        scaler, ridge = mixture.experts_[k][0], mixture.experts_[k][-1]
        bmi, blood = (
            ridge.coef_[X.columns.get_loc(name)] / scaler.scale_[X.columns.get_loc(name)]
            for name in columns
        )
        axes.text(
            x,
            y,
            f"expert {k} leads for {mixture.utilization_.top[k]:.0%} of the patients\n"
            f"disease progression {bmi:+.1f} per kg/m²,\n"
            f"{blood:+.0f} per unit of log triglycerides,\n"
            f"typical error ± {mixture.scale_[k]:.0f}",
            transform=axes.transAxes,
            va=va,
            ha=ha,
            fontsize=9.5,
            linespacing=1.3,
            bbox={
                "facecolor": "white",
                "alpha": 0.92,
                "edgecolor": TWO_EXPERTS(float(k)),
                "lw": 2,
            },
        )


def draw_utilization(axes, fitted):
    for row, mixtures in enumerate(fitted.values()):
        mixture = mixtures["mixture of the pool"]
        left = 0.0
        for expert, mass in zip(mixture.named_experts_, mixture.utilization_.mass, strict=True):
            label = expert if row == 0 else None
            axes.barh(row, mass, left=left, color=COLOURS[expert], label=label, height=0.55)
            if mass > 0.06:
                middle = left + mass / 2
                colour = "white" if expert in ("forest", "linear") else "0.1"
                axes.text(middle, row, f"{mass:.0%}", ha="center", va="center", color=colour)
            left += mass
        text = f"{mixture.shared_weight_:.0%} of the prediction: the consensus"
        axes.text(0, row + 0.31, text, va="top", fontsize=9, color="0.3")
    axes.set_yticks(range(len(fitted)), fitted)
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, 1)
    axes.set_ylim(len(fitted) - 0.35, -0.75)
    axes.xaxis.set_visible(False)
    plain(axes, keep=())
    axes.legend(ncols=4, frameon=False, loc="upper center", handlelength=1, columnspacing=1.2)
    axes.set_title("mixture of the pool: what the gate says")


def draw_path(axes, fitted):
    for (name, mixtures), style in zip(fitted.items(), ["-", "-.", "--", ":"], strict=False):
        path = mixtures["mixture of linear"].history_["log_likelihood"]
        gain = path - path[0]
        iterations = np.arange(1, len(path) + 1)
        axes.plot(iterations, gain, style, color=COLOURS["linear"], linewidth=2, label=name)
        kept = int(np.argmax(path))
        axes.plot(iterations[kept], gain[kept], "o", color=COLOURS["linear"])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("EM iteration; dot: the iterate that is kept")
    axes.set_ylabel("gain in held-out log-likelihood per row")
    axes.set_title("mixture of linear: course of EM")
    axes.legend(frameon=False)
    axes.grid(color="0.93")
    plain(axes, keep=("left", "bottom"))
