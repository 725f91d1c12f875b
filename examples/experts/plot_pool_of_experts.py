"""
Different experts on the same rows
==================================

Stacking whose weights depend on the row, and a model that survives saving.

With ``overlap=1`` each expert is fitted once, to all rows, and only the gate is
learned. It tells which expert to trust for which row, and can leave the others out
when it predicts. Beside it a consensus of all experts is trained, which counts as
much as held-out rows say.
"""

import tempfile
from pathlib import Path

import joblib
import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsClassifier

X, digit = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(
    X, digit % 2, train_size=700, random_state=0
)

COLOURS = "#0072B2", "#E69F00", "#009E73"  # of experts 0, 1 and 2
pool = [
    ("trees", ExtraTreesClassifier(random_state=0)),
    ("linear", make_pipeline(StandardScaler(), LogisticRegression())),
    ("k-NN", KNeighborsClassifier(10)),
]
moe = MixtureOfExpertsClassifier(
    pool, overlap=1.0, max_iter=100, random_state=0
).fit(X, y)

# %%
# Is the digit even? The loss on new rows, of each expert and of all of them
# together:

models = {**moe.named_experts_, "mixture": moe}
loss = {
    name: log_loss(y_test, model.predict_proba(X_test))
    for name, model in models.items()
}
figure, ax = plt.subplots(figsize=(6, 2.5), layout="constrained")
bars = ax.barh(list(loss), list(loss.values()), color=[*COLOURS, "0.3"])
ax.bar_label(bars, fmt="%.3f", padding=3)
ax.margins(x=0.12)
ax.invert_yaxis()
ax.set_xlabel("log-loss of new rows")
plt.show()
print(f"Of the mixture's prediction, {moe.shared_weight_:.0%} is the consensus.")

# %%
# What the fit itself says, from training rows that were held out. Where a gain is
# below three standard errors, the simpler predictor would do.

print(f"{moe.lift_}\n\n{moe.utilization(X_test)}")

# %%
# Who answers for the first three rows, if two experts may be asked?

indices, weights, mass, _ = moe.route(X_test[:3], top_k=2)
for row in range(3):
    asked = ", ".join(
        f"{pool[k][0]} {w:.2f}"
        for k, w in zip(indices[row], weights[row], strict=True)
    )
    print(f"row {row}: {asked} (the gate gave these two {mass[row]:.0%})")

# %%
# Plain joblib saves it; `skmoe.dump` writes a file that is verified before it is
# loaded.

path = Path(tempfile.mkdtemp()) / "pool_of_experts.joblib"
joblib.dump(moe, path)
again = joblib.load(path)
same = np.array_equal(again.predict_proba(X_test), moe.predict_proba(X_test))
print(f"the same predictions after loading: {same}")
