"""
Gates compared
==============

One regime is a disc, the other lies around it. Gates with straight borders
(softmax, and the hierarchical one, which has softmax gates at its nodes) need more
experts than there are regimes, to close a ring; so does the cosine gate, whose
borders bend little where the data are. A Gaussian gate with variances for each
expert draws an ellipse, but a soft one: it tells where rows lie, not where the
regime changes. A softmax of squares and products is exact here; the default gate
tries it by itself. A tree, which splits along the axes, puts a box in the place of
the disc.
"""

import matplotlib.pyplot as plt
from sklearn.linear_model import Ridge
from sklearn.tree import DecisionTreeClassifier

from skmoe import (
    CosineGate,
    GaussianGate,
    HierarchicalGate,
    MixtureOfExpertsRegressor,
    SoftmaxGate,
)
from skmoe.datasets import make_piecewise_regression
from skmoe.inspection import GateRegionsDisplay

X, y = make_piecewise_regression(
    2000,
    n_features=2,
    n_regimes=2,
    boundary="radial",
    return_X_y=True,
    random_state=0,
)
around = HierarchicalGate(groups=[[0], [1, 2, 3, 4]])
tree = DecisionTreeClassifier(min_samples_leaf=20, random_state=0)
gates = {
    "SoftmaxGate, 2 experts": (SoftmaxGate(), 2),
    "SoftmaxGate, 5 experts": (SoftmaxGate(), 5),
    "HierarchicalGate, 1 + 4 experts": (around, 5),
    "CosineGate, 5 experts": (CosineGate(max_iter=1000), 5),
    "CosineGate, 2 experts": (CosineGate(max_iter=1000), 2),
    'GaussianGate("diag")': (GaussianGate("diag"), 2),
    "SoftmaxGate('products')": (SoftmaxGate(terms="products"), 2),
    "decision tree": (tree, 2),
}

# %%
# The same linear experts and the same start for all of them. Only the gate changes;
# scores are those of rows that were not trained on.

figure, axes = plt.subplots(2, 4, figsize=(16, 8), layout="constrained")
scores = {}
for ax, (name, (gate, n_experts)) in zip(axes.flat, gates.items(), strict=True):
    moe = MixtureOfExpertsRegressor(
        Ridge(),
        n_experts=n_experts,
        gate=gate,
        overlap=0.0,
        init="kmeans",  # the same start for all gates
        max_iter=60,
        tol=1e-3,
        random_state=2,
    ).fit(X[:1000], y[:1000])
    scores[name] = moe.score(X[1000:], y[1000:])
    GateRegionsDisplay.from_estimator(moe, X[:1000], ax=ax)
    ax.set_title(f"{name}\nR² on new rows {scores[name]:.2f}", fontsize=10)
plt.show()
