"""
Bike rentals: from the raw table to three regimes that one can explain
======================================================================

``python examples/bike_rentals.py hour.csv [picture.png]``, where ``hour.csv`` is
the file of that name in the Bike Sharing data of the UCI repository,
https://archive.ics.uci.edu/dataset/275/bike+sharing+dataset (Fanaee-T and Gama,
2014; CC BY 4.0): bikes rented in each hour of two years in Washington, DC. The page
"Regimes one can read" tells what there is to see.
"""

import sys

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skmoe import MixtureOfExpertsRegressor
from skmoe.gates import SoftmaxGate
from skmoe.inspection import (
    RegimeDisplay,
    explain_routing,
    regime_table,
    routing_sentences,
)

WEATHER = {
    1: "clear",
    2: "mist",
    3: "rain",
    4: "rain",
}  # 4, a storm, are three hours
NUMBERS = ["hour", "temperature", "humidity", "wind"]


def read_rentals(path):
    """Features in units that people use, and rentals."""
    raw = pd.read_csv(path)
    X = pd.DataFrame(
        {
            "hour": raw["hr"],
            "temperature": 41 * raw["temp"],  # degrees Celsius
            "humidity": 100 * raw["hum"],  # per cent
            "wind": 67 * raw["windspeed"],  # kilometres per hour
            "day": np.where(raw["workingday"] == 1, "working", "free"),
            "weather": raw["weathersit"].map(WEATHER),
        }
    )
    return X, raw["cnt" if "cnt" in raw else "target"].rename("rentals")


X, y = read_rentals(sys.argv[1])
X, X_new, y, y_new = train_test_split(X, y, train_size=4000, random_state=0)
encoder = make_column_transformer(
    (StandardScaler(), NUMBERS), (OneHotEncoder(drop="first"), ["day", "weather"])
)
line = make_pipeline(encoder, LinearRegression())
moe = MixtureOfExpertsRegressor(
    line,
    n_experts=3,
    gate=SoftmaxGate(
        "auto", terms="splines"
    ),  # a sum over the features: easy to take apart
    overlap=0.0,
    shared_expert=None,
    random_state=0,
).fit(X, y)

# Names in the order of what they rent out, in place of expert_0 to expert_2
means = moe.predict_experts(X).mean(axis=0)
quiet, usual, busy = (f"expert_{k}" for k in np.argsort(means))
moe = moe.rename_experts({quiet: "quiet", usual: "usual", busy: "busy"})

print(f"R2 on new rows: one equation {line.fit(X, y).score(X_new, y_new):.2f}, "
      f"three {moe.score(X_new, y_new):.2f}")  # fmt: skip
print(regime_table(moe, X, y))

friday = X_new[(X_new["hour"] == 17) & (X_new["day"] == "working")].iloc[:1]
print(
    routing_sentences(
        explain_routing(moe, friday, X_reference=X), n_features=2
    ).iloc[0]
)

names = list(moe.named_experts_)
display = RegimeDisplay.from_estimator(moe, X, "hour")
if len(sys.argv) > 2:
    display.figure_.savefig(sys.argv[2], dpi=80)
