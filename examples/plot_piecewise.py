"""
Regimes recovered
=================

The target is linear in each of three sectors of the plane; neither sectors nor slopes are given.
The mixture finds both: the experts' coefficients are the slopes, and the gate draws the borders.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_rgba_array
from scipy.optimize import linear_sum_assignment
from sklearn.linear_model import Ridge
from sklearn.model_selection import train_test_split

from skmoe import MixtureOfExpertsRegressor
from skmoe.datasets import make_piecewise_regression
from skmoe.inspection import RegimeDisplay

data = make_piecewise_regression(1500, 2, 3, noise=0.2, random_state=1)
X, X_test, y, y_test = train_test_split(data.X, data.y, random_state=0)

ridge = Ridge().fit(X, y)
# overlap=0: each expert learns from its own rows only, as the slopes are to be read.
moe = MixtureOfExpertsRegressor(
    Ridge(), n_experts=3, overlap=0.0, max_iter=100, random_state=0
).fit(X, y)
moe  # in a notebook this is a diagram, with the weight of each expert

# %%
# What the mixture has learned, and what the data were drawn from:

print(f"R2 on new rows: one linear model {ridge.score(X_test, y_test):.3f}, "
      f"mixture of three {moe.score(X_test, y_test):.3f}")  # fmt: skip
print(moe.lift_)

# The numbering of the experts is arbitrary: match each true regime with the closest expert.
coef = np.array([expert.coef_ for expert in moe.experts_])
distance = np.linalg.norm(data.coef[:, np.newaxis] - coef, axis=2)
_, experts = linear_sum_assignment(distance)
for regime, expert in enumerate(experts):
    print(f"regime {regime}: slopes {data.coef[regime].round(2)}, noise {data.scale[regime]:.2f}; "
          f"found {coef[expert].round(2)}, {moe.scale_[expert]:.2f}")  # fmt: skip
agreement = np.mean(experts[data.regime] == moe.apply(data.X))
print(f"rows that go to the expert of their regime: {agreement:.1%}")

# %%
# On the left regions of the gate (background) and true regimes (dots). Beside them the same as a
# reader without the truth has it: where regimes lie along a feature, what they say, coefficients.

colours = np.array(["#0072B2", "#E69F00", "#009E73"])[experts]  # expert k has colour k
axis = np.linspace(-3, 3, 300)
gate = moe.gate_proba(np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2))[:, experts]
rgb = gate @ to_rgba_array(colours)[:, :3]
figure, (axes, *others) = plt.subplots(1, 4, figsize=(20, 4.8), layout="constrained")
axes.imshow(rgb.reshape(300, 300, 3), origin="lower", extent=(-3, 3, -3, 3), alpha=0.5)
for regime, shape in enumerate("o^s"):
    rows = data.X[data.regime == regime][:150]
    style = {"s": 18, "c": colours[regime], "marker": shape, "ec": "0.2", "lw": 0.5}
    axes.scatter(*rows.T, label=f"true regime {regime}", **style)
axes.set(xlim=(-3, 3), ylim=(-3, 3), xlabel="feature 0", ylabel="feature 1")
axes.set_title(f"The gate (background) finds the regimes:\n{agreement:.1%} of the rows agree")
axes.legend(loc="upper left")
RegimeDisplay.from_estimator(moe, X, 0, axes=others)
plt.show()
