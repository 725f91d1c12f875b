"""What the displays share: matplotlib, loaded when it is needed, and colours."""

import numpy as np

PALETTE = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#7F7F7F",
    "#F0E442",
)
"""Colours that people with any form of colour blindness can tell apart.

Okabe, M. and Ito, K. (2008), Color Universal Design; with grey in place of black, which is for
lines and text.
"""

MARKERS = "osD^vP*X"
"""Of lines; they come round later than the colours of more than eight experts do."""

MOST_ENTRIES_WITHIN = 5
"""A legend with more entries goes beside the axes."""


def new_axes(ax, name, figsize=None):
    """The given axes, or those of a new figure.

    Parameters
    ----------
    ax : matplotlib Axes or None
    name : str
        Of the display, for the message of the error.
    figsize : tuple, default=None

    Returns
    -------
    ax : matplotlib Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(f"{name} needs matplotlib: pip install 'skmoe[plot]'") from error
    if ax is not None:
        return ax
    return pyplot.subplots(figsize=figsize, layout="constrained")[1]


def colour(expert):
    """Colour of an expert by its index; they repeat after eight."""
    return PALETTE[expert % len(PALETTE)]


def rgb(expert):
    """Colour of an expert as three numbers between 0 and 1."""
    code = colour(expert)
    return np.array([int(code[first : first + 2], 16) / 255 for first in (1, 3, 5)])


def marker(expert):
    """Marker of an expert by its index; experts of one colour have different ones."""
    return MARKERS[(expert + expert // len(PALETTE)) % len(MARKERS)]


def add_legend(ax, handles=None, **options):
    """Legend within the axes where few entries leave room for it, beside them otherwise."""
    handles = ax.get_legend_handles_labels()[0] if handles is None else handles
    if len(handles) > MOST_ENTRIES_WITHIN:
        options = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5), **options}
    else:
        options = {"loc": "upper left", "framealpha": 0.9, **options}
    return ax.legend(handles=handles, **options)


def bare(ax):
    """Take away the frame lines that carry no scale."""
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    ax.set_axisbelow(True)
