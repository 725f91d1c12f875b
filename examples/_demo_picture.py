"""The picture of the demo, which the README shows. Needs matplotlib, the extra
``plot``."""

import matplotlib.pyplot as plt
import numpy as np

from skmoe.inspection._plotting import colour

N_SHOWN = 8


def draw(moe, X, digit, counts, path):
    """Draw, for each expert, pictures that it leads for and how many of each digit.

    Parameters
    ----------
    moe : MixtureOfExpertsClassifier
    X : ndarray of shape (n, 64)
        Held-out pictures of digits.
    digit : ndarray of shape (n,)
    counts : ndarray of shape (K, 10)
        How many pictures of each digit an expert leads for.
    path : path-like
        Where to write the PNG.
    """
    proba = moe.gate_proba(X)
    n_experts = len(counts)
    figure, axes = plt.subplots(
        n_experts, 2, figsize=(9, 4.6), width_ratios=(1.5, 1), layout="constrained"
    )
    for k, (pictures, bars) in enumerate(axes):
        surest = np.argsort(-proba[:, k])[: 3 * N_SHOWN : 3]
        strip = np.hstack([np.pad(X[row].reshape(8, 8), 1) for row in surest])
        pictures.imshow(strip, cmap="gray_r", interpolation="nearest")
        pictures.set(xticks=[], yticks=[])
        for side in pictures.spines.values():
            side.set(color=colour(k), linewidth=3)
        pictures.set_ylabel(f"expert {k}", color="0.2")
        bars.bar(range(10), counts[k], color=colour(k))
        bars.set(xticks=range(10), ylim=(0, 1.05 * counts.max()), yticks=[0, 50])
        bars.spines[["top", "right"]].set_visible(False)
        if k < n_experts - 1:
            bars.set_xticklabels([])
    axes[0, 0].set_title("pictures that it answers for", fontsize=10)
    axes[0, 1].set_title("how many of each digit", fontsize=10)
    axes[-1, 1].set_xlabel("digit")
    figure.suptitle(
        "Is the digit even? Four linear experts share out the shapes by themselves"
    )
    figure.savefig(path, dpi=110)
    plt.close(figure)
