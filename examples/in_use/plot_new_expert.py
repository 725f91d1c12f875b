"""
Monitoring, and a new expert
============================

A mixture reads handwritten digits for three offices. From week 6 on a fourth one
sends pictures, too, and nobody has told the model. What is seen of it, and what can
be done?

.. image:: images/sphx_glr_plot_new_expert_001.png
   :alt: how likely pictures are, how many are novel, and the loss, week by week
   :width: 640
"""

import warnings

import numpy as np
from matplotlib import pyplot as plt
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline

from skmoe import GaussianGate, MixtureOfExpertsClassifier
from skmoe.inspection import routing_drift

X, digit = load_digits(return_X_y=True)
order = np.random.default_rng(0).permutation(len(X))
X, even = X[order] / 16, digit[order] % 2 == 0
office = KMeans(4, n_init=4, random_state=0).fit_predict(X)
old, late = np.flatnonzero(office != 2), np.flatnonzero(office == 2)

# %%
# The question is whether a digit is even. There is an expert for each office
# (``domains=``); of new pictures the office is not told. A `GaussianGate` knows the
# density of what it sees, here ten principal components, and so which pictures are
# unlike all others: 1 % of those in training are called novel.

linear = LogisticRegression(max_iter=1000)
first = old[:600]
moe = MixtureOfExpertsClassifier(
    linear,
    gate=make_pipeline(PCA(10, random_state=0), GaussianGate(contamination=0.01)),
    overlap=0.1,
    random_state=0,
)
names = np.char.add("office ", office.astype(str))
moe.fit(X[first], even[first], domains=names[first])

# %%
# Forty pictures a week. From week 6 on half of them come from the new office.
# `routing_drift` compares each week with what the model keeps of its training rows,
# and needs no labels. The loss on the right is known only when somebody has
# labelled them.


def week(number):
    if number < 6:
        return old[600 + 40 * number :][:40]
    return np.r_[
        old[840 + 20 * (number - 6) :][:20], late[20 * (number - 6) :][:20]
    ]


weeks = [week(number) for number in range(12)]
drifts = [routing_drift(moe, None, X[rows]) for rows in weeks]
novel = [drift.novel_share for drift in drifts]
rarest = [drift.log_density_z_of_expert.min() for drift in drifts]
loss = [
    log_loss(even[rows], moe.predict_proba(X[rows]), labels=[False, True])
    for rows in weeks
]

# %%
# The new expert is trained on the pictures of four weeks, which somebody has
# labelled. ``old_rows=`` are some such as the model has served so far, so that the
# gate learns to tell the offices apart. The old mixture stays as it is.

labelled = np.concatenate(weeks[6:10])
labelled = labelled[np.isin(labelled, late)]
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    larger = moe.add_expert(
        "new office",
        linear,
        X[labelled],
        even[labelled],
        old_rows=(X[first], even[first]),
    )
print(larger.surgery_)

# %%
# `surgery_` is the report of the operation, from held-out rows: what it did to the
# new rows, to the old ones, and to those that each expert led. If the old ones
# lose, there is a warning, and it is up to you: keep it, or label more pictures.

print(*(warning.message for warning in told), sep="\n")

# %%
# The last two weeks, which nobody has labelled or trained on:

later = [
    log_loss(even[rows], larger.predict_proba(X[rows]), labels=[False, True])
    for rows in weeks[10:]
]
figure, axes = plt.subplots(1, 3, figsize=(11, 3.2), layout="constrained")
for ax, values, title in zip(
    axes,
    (rarest, novel, loss),
    ("least z of log-density", "share of novel pictures", "log-loss"),
    strict=True,
):
    ax.plot(values, "o-", color="#0072B2", label="three offices' experts")
    ax.axvline(5.5, color="0.4", linestyle=":")
    ax.set(xlabel="week", title=title)
axes[0].axhspan(-3, 3, color="0.93")
axes[1].axhline(0.01, color="0.4", linewidth=1)
axes[2].plot([10, 11], later, "s-", color="#D55E00", label="with the new expert")
axes[2].legend(loc="upper left")
plt.show()

# %%
# Two of these weeks would not have been enough to be sure by the share of novel
# pictures alone. The density is the better alarm: below -3 in every week since the
# change. What drift cannot see is in the :doc:`FAQ </faq>`: targets that change
# while the features stay.
