"""
Joining models of four domains
==============================

Four offices read handwritten digits. Each has a model of its own, trained on what
it gets to see, and keeps its pictures to itself. A hundred labelled pictures from
all of them are there to join the models. Nobody will say which office a new picture
is from.

.. image:: images/sphx_glr_plot_domains_001.png
   :alt: log-loss of new pictures, by what joins the four models
   :width: 640
"""

import numpy as np
from matplotlib import pyplot as plt
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.ensemble import StackingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from skmoe import MixtureOfExpertsClassifier
from skmoe.inspection import expert_report

X, digit = load_digits(return_X_y=True)
X, X_new, y, y_new = train_test_split(
    X / 16, digit, train_size=1100, random_state=0
)
X_own, y_own, X_join, y_join = X[:1000], y[:1000], X[1000:], y[1000:]

# %%
# The offices: four clusters of the pictures, which differ in handwriting and in
# what is written. Each model knows the digits of its office and hardly any other. A
# `FrozenEstimator` is used as it is and never fitted again.

office = KMeans(4, n_init=4, random_state=0).fit(X_own)
models = []
for k in range(4):
    own = office.labels_ == k
    model = LogisticRegression(max_iter=1000).fit(X_own[own], y_own[own])
    models.append((f"office {k}", FrozenEstimator(model)))
    print(f"office {k}: {own.sum()} pictures, digits {model.classes_}")

# %%
# A mixture of experts learns from the hundred pictures whom to ask for which.

moe = MixtureOfExpertsClassifier(models, random_state=0).fit(X_join, y_join)
stack = StackingClassifier(models, cv="prefit").fit(X_join, y_join)
print(moe.lift_)

# %%
# ``lift_`` compares on rows of these hundred that were held out: the mixture is far
# ahead of constant weights, so there is something to route. New pictures agree.
# "Told the office" asks the right model for each of them, which nobody can do who
# is not told; "a model of the hundred" does without the offices.


def proba(model):
    """Probabilities of all ten digits, also of a model that knows fewer."""
    full = np.full((len(X_new), 10), 1e-6)
    full[:, model.classes_] += model.predict_proba(X_new)
    return full / full.sum(axis=1, keepdims=True)


each = np.stack([proba(model) for _, model in models])
told = each[office.predict(X_new), np.arange(len(X_new))]
fresh = LogisticRegression(max_iter=1000).fit(X_join, y_join)
loss = {
    "the best single office": min(log_loss(y_new, own) for own in each),
    "their average": log_loss(y_new, each.mean(axis=0)),
    "stacking": log_loss(y_new, proba(stack)),
    "a model of the hundred": log_loss(y_new, proba(fresh)),
    "mixture of experts": log_loss(y_new, proba(moe)),
    "told the office": log_loss(y_new, told),
}
figure, ax = plt.subplots(figsize=(6.5, 2.8), layout="constrained")
colours = ["#D55E00" if name == "mixture of experts" else "0.65" for name in loss]
bars = ax.barh(list(loss), list(loss.values()), color=colours)
ax.bar_label(bars, fmt="%.2f", padding=3)
ax.margins(x=0.1)
ax.invert_yaxis()
ax.set(xlabel="log-loss of new pictures", title="100 pictures join four models")
plt.show()

# %%
# Who knows what: each model is good on the rows for which the gate trusts it most
# (``error``) and bad elsewhere. The gate is not alone: a "shared part" listens to
# all four and weighs what they say, too; held-out rows decide how much each way
# counts.

columns = ["rows", "error", "error_mixture", "error_elsewhere"]
expert_report(moe, X_new, y_new)[columns].round(2)

# %%
# With the office known for the hundred pictures, ``fit(X, y, domains=...)`` starts
# from it. `add_expert` takes in a fifth office later: see
# :ref:`sphx_glr_generated_gallery_in_use_plot_new_expert.py`.
