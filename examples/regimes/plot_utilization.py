"""
Who has how much to do
======================

Four experts for four regimes. The bars show the mean gate probability of each
expert in training, and on rows of a later period in which one regime has become
rare. An expert that has next to nothing to do in training may as well be dropped;
see ``prune`` in :doc:`/serving`. One that has lost its work since then says that
the rows have changed; see :doc:`/inspection`.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import Ridge

from skmoe import MixtureOfExpertsRegressor
from skmoe.datasets import make_piecewise_regression
from skmoe.inspection import UtilizationDisplay

data = make_piecewise_regression(3000, n_features=3, n_regimes=4, random_state=1)
moe = MixtureOfExpertsRegressor(
    Ridge(), n_experts=4, overlap=0.0, max_iter=60, random_state=0
)
moe.fit(data.X[:1500], data.y[:1500])

X_new, regime = data.X[1500:], data.regime[1500:]
rare = (regime == 0) & (np.arange(1500) % 5 > 0)
X_new = X_new[~rare]  # four of five rows of this regime are gone

# %%
# Expert by expert, in training and on the new rows:

UtilizationDisplay.from_estimator(moe, X_new)
plt.show()
# %%
# The same in figures:

print(moe.utilization(X_new))
