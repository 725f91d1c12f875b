"""
Frames with strings and missing values
======================================

Experts and gate each prepare the columns they need.

Flats in three towns, each with a price per square metre of its own. Experts are
pipelines that encode and impute; the gate sees only the town and the year, which
decide on the regime.
"""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skmoe import MixtureOfExpertsRegressor

rng = np.random.default_rng(0)
n = 500
flats = pd.DataFrame(
    {
        "town": rng.choice(["harbour", "hill", "mill"], n),
        "heating": rng.choice(["gas", "district", "pump"], n),
        "area": rng.uniform(30, 120, n),
        "year": rng.integers(1900, 2020, n).astype(float),
    }
)
per_metre = flats["town"].map({"harbour": 6.0, "hill": 4.0, "mill": 2.0})
price = (
    per_metre * flats["area"]
    + 20 * (flats["heating"] == "pump")
    + rng.normal(0, 10, n)
)
flats.loc[rng.random(n) < 0.1, ["area", "year"]] = np.nan
flats.loc[rng.random(n) < 0.1, "heating"] = None


# %%
# Pipelines of scikit-learn, one for the experts and one for the gate:


def prepared(categories, numbers, model):
    """A pipeline that encodes strings, imputes and scales numbers."""
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), categories),
        (make_pipeline(SimpleImputer(), StandardScaler()), numbers),
    )
    return make_pipeline(columns, model)


expert = prepared(["heating"], ["area", "year"], Ridge())
gate = prepared(["town"], ["year"], LogisticRegression())
moe = MixtureOfExpertsRegressor(
    expert,
    n_experts=3,
    gate=gate,
    gate_features=["town", "year"],
    overlap=0.0,
    tol=1e-3,
    random_state=0,
)

# %%
# Parameters of an expert's steps are searched by name, like those of any estimator:

X, X_test, y, y_test = train_test_split(flats, price, random_state=0)
grid = {"experts__ridge__alpha": [0.1, 10.0]}
search = GridSearchCV(moe, grid, cv=2).fit(X, y)
one = prepared(["town", "heating"], ["area", "year"], Ridge()).fit(X, y)
print(f"best parameters: {search.best_params_}")
print(f"R² on new rows: one ridge {one.score(X_test, y_test):.3f}")
print(f"R² on new rows: mixture   {search.score(X_test, y_test):.3f}")

# %%
# Whom the gate trusts in which town. The experts have parted the towns among them.

best = search.best_estimator_
weights = pd.DataFrame(
    best.gate_proba(X_test), index=X_test["town"], columns=list(best.named_experts_)
)
by_town = weights.groupby("town").mean()
by_town.plot.barh(
    stacked=True,
    figsize=(6, 2.5),
    color=["#0072B2", "#E69F00", "#009E73"],
    xlabel="mean weight of each expert",
)
plt.legend(loc="center left", bbox_to_anchor=(1, 0.5))
plt.tight_layout()
plt.show()
