"""
Experts that know how sure they may be
======================================

Trees with small leaves are surer of new rows than they may be. The classical
algorithm (``e_step="insample"``, left) judges them by the rows that they were
trained on and believes them. Judged by held-out rows (``"crossfit"``, right), each
tree gets a floor: a little of the uniform distribution, as much as its errors call
for. Curves on the diagonal keep what they promise; a floor is one number for each
expert, so it cannot bring all of a curve there.
"""

import matplotlib.pyplot as plt
from sklearn.model_selection import train_test_split
from sklearn.tree import DecisionTreeClassifier

from skmoe import MixtureOfExpertsClassifier
from skmoe.datasets import make_piecewise_classification
from skmoe.inspection import ReliabilityDisplay

X, y = make_piecewise_classification(
    4000, n_classes=3, return_X_y=True, random_state=0
)
X, X_new, y, y_new = train_test_split(X, y, test_size=0.5, random_state=0)

# %%
# Two mixtures of the same trees that differ in ``e_step`` only. Curves and log-loss
# are those of the other half of the rows.

figure, axes = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
log_loss = {}
for ax, e_step in zip(axes, ("insample", "crossfit"), strict=True):
    moe = MixtureOfExpertsClassifier(
        DecisionTreeClassifier(min_samples_leaf=10),
        n_experts=3,
        overlap=0.0,
        e_step=e_step,
        random_state=0,
    ).fit(X, y)
    ReliabilityDisplay.from_estimator(moe, X_new, y_new, ax=ax)
    log_loss[e_step] = -moe.log_density(X_new, y_new).mean()
    ax.set_title(f'e_step="{e_step}": log-loss {log_loss[e_step]:.2f}')
low = min(ax.get_xlim()[0] for ax in axes)
for ax in axes:  # the same axes, to be compared
    ax.set(xlim=(low, 1.02), ylim=(low, 1.02))
plt.show()
