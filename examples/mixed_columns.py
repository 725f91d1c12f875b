"""
Frames with strings and missing values
======================================

Experts and gate each prepare the columns they need.

Flats in three towns, each with a price per square metre of its own. Experts are pipelines that
encode and impute; the gate sees only the town and the year, which decide on the regime.
"""

import numpy as np
import pandas as pd
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
price = per_metre * flats["area"] + 20 * (flats["heating"] == "pump") + rng.normal(0, 10, n)
flats.loc[rng.random(n) < 0.1, ["area", "year"]] = np.nan
flats.loc[rng.random(n) < 0.1, "heating"] = None


def prepared(categories, numbers, model):
    """A pipeline that encodes strings, imputes and scales numbers, and ends in the model."""
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

X, X_test, y, y_test = train_test_split(flats, price, random_state=0)
grid = {"experts__ridge__alpha": [0.1, 10.0]}
search = GridSearchCV(moe, grid, cv=2).fit(X, y)
one = prepared(["town", "heating"], ["area", "year"], Ridge()).fit(X, y)
print(f"best parameters: {search.best_params_}")
print(f"R2 on new rows: one ridge {one.score(X_test, y_test):.3f}, "
      f"mixture {search.score(X_test, y_test):.3f}")  # fmt: skip

weights = search.best_estimator_.gate_proba(X_test)
print("\nmean weight of each expert by town")
print(pd.DataFrame(weights, index=X_test["town"]).groupby("town").mean().round(2))
