"""
Watching a model in use
=======================

A mixture is trained, then gets 200 rows a week. From week 10 on one regime becomes
more frequent, which moves mass from expert to expert; from week 20 on the features
spread out within the regimes, which moves no mass, but makes the rows less likely.
`routing_drift` compares each week with what the model keeps of its training rows. A
week within the band is as the training rows were.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import Ridge

from skmoe import GaussianGate, MixtureOfExpertsRegressor
from skmoe.inspection import routing_drift

rng = np.random.default_rng(0)


def rows(n, share_of_winter=0.5, spread=1.0):
    winter = rng.random(n) < share_of_winter
    centre = np.where(winter[:, None], [-2.0, 0.0], [2.0, 0.0])
    X = centre + spread * rng.normal(size=(n, 2))
    return X, np.where(winter, 3 * X[:, 1], -X[:, 1]) + 0.1 * rng.normal(size=n)


# %%
# A start is given so that names are right: "winter" begins with the rows on the
# left.

experts = [("winter", Ridge()), ("summer", Ridge())]
X, y = rows(4000)
start = np.column_stack([X[:, 0] < 0, X[:, 0] > 0]).astype(float)
moe = MixtureOfExpertsRegressor(
    experts, gate=GaussianGate(), overlap=0.0, init=start, random_state=0
).fit(X, y)

# %%
# Thirty weeks. ``None`` in place of the old rows compares with what the model keeps
# of them, which is all that monitoring needs.

weeks = np.arange(30)
drifts = []
for week in weeks:
    X_week, _ = rows(200, 0.5 if week < 10 else 0.65, 1.0 if week < 20 else 1.4)
    drifts.append(routing_drift(moe, None, X_week))
print("last week:")
print(drifts[-1])

# %%
# The band is three standard errors wide on either side. Of so many comparisons some
# leave a narrower one by chance.

figure, axes = plt.subplots(2, 1, figsize=(8, 6), sharex=True, layout="constrained")
mass = np.array([drift.z for drift in drifts])
density = np.array([drift.log_density_z_of_expert for drift in drifts])
for ax, values, title in zip(
    axes, (mass, density), ("mass", "log-density"), strict=True
):
    ax.axhspan(-3, 3, color="0.93")
    ax.plot(weeks, values[:, 0], "o-", color="#0072B2", label="winter")
    ax.plot(weeks, values[:, 1], "s-", color="#E69F00", label="summer")
    ax.set_ylabel(f"z of the change of {title}")
    for first in (10, 20):
        ax.axvline(first - 0.5, color="0.4", linestyle=":")
axes[0].legend(loc="upper left")
axes[1].set_xlabel("week")
plt.show()
