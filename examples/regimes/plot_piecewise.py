"""
Regimes recovered
=================

The target is linear in each of three sectors of the plane; neither sectors nor
slopes are given. The mixture finds both: the experts' coefficients are the slopes,
and the gate draws the borders.
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
X, X_test, y, y_test, _, regime_test = train_test_split(
    data.X, data.y, data.regime, random_state=0
)

# %%
# With ``overlap=0`` each expert learns from its own rows only: its slopes are to be
# read. In a notebook, and here, a mixture shows itself as a diagram with the weight
# of each expert.

ridge = Ridge().fit(X, y)
moe = MixtureOfExpertsRegressor(
    Ridge(), n_experts=3, overlap=0.0, max_iter=100, random_state=0
).fit(X, y)
moe

# %%
# What the mixture has learned, and what the data were drawn from:

print(f"R² of one linear model on new rows: {ridge.score(X_test, y_test):.3f}")
print(f"R² of the mixture of three:         {moe.score(X_test, y_test):.3f}")
print(moe.lift_)

# %%
# The numbering of the experts is arbitrary: match each true regime with the closest
# expert.

coef = np.array([expert.coef_ for expert in moe.experts_])
distance = np.linalg.norm(data.coef[:, np.newaxis] - coef, axis=2)
_, experts = linear_sum_assignment(distance)
for regime, expert in enumerate(experts):
    slopes, noise = data.coef[regime].round(2), data.scale[regime]
    print(f"regime {regime}: slopes {slopes}, noise {noise:.2f}")
    print(f"     found: slopes {coef[expert].round(2)}, {moe.scale_[expert]:.2f}")
agreement = np.mean(experts[regime_test] == moe.apply(X_test))
print(f"new rows that go to the expert of their regime: {agreement:.1%}")

# %%
# The regions of the gate are the background, dots are new rows with the colour of
# their true regime. Expert k has colour k, here and in all figures of skmoe.

colours = np.array(["#0072B2", "#E69F00", "#009E73"])[experts]
axis = np.linspace(-3, 3, 300)
grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
gate = moe.gate_proba(grid)[:, experts]
rgb = gate @ to_rgba_array(colours)[:, :3]
figure, axes = plt.subplots(figsize=(6, 5.4), layout="constrained")
axes.imshow(
    rgb.reshape(300, 300, 3), origin="lower", extent=(-3, 3, -3, 3), alpha=0.5
)
for regime, shape in enumerate("o^s"):
    rows = X_test[regime_test == regime]
    style = {"s": 18, "c": colours[regime], "marker": shape, "ec": "0.2", "lw": 0.5}
    axes.scatter(*rows.T, label=f"true regime {regime}", **style)
axes.set(xlim=(-3, 3), ylim=(-3, 3), xlabel="feature 0", ylabel="feature 1")
axes.set_title(
    f"The gate (background) finds the regimes:\n{agreement:.1%} of new rows agree"
)
axes.legend(loc="upper left")
plt.show()

# %%
# The same as a reader without the truth has it: where regimes lie along a feature,
# what they say there, and their coefficients.

RegimeDisplay.from_estimator(moe, X, 0)
plt.show()
