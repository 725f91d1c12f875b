"""
From a raw table to a mixture
=============================

Three lines make a mixture of a table as it is; one more tells what each kind of
column is worth.

Flats with numbers, categories, dates and a few words of praise. `make_mixture`
looks at the columns and returns an ordinary estimator, with experts for the whole
table and for each kind of column. With `KindDropout` around its experts it also
learns from rows in which a kind is missing. That costs a little where nothing is
missing, and saves much of what a missing text costs.
"""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from skmoe.tables import (
    KindDropout,
    column_kinds,
    kind_report,
    make_mixture,
    to_code,
)

rng = np.random.default_rng(0)
n = 800
worth = pd.Series(
    {"garden": 0.6, "renovated": 0.8, "noisy": -0.7, "balcony": 0.4, "dark": -0.6}
    | {"sunny": 0.5, "lift": 0.1, "central": 0.3}
)
words = worth.index.to_numpy()
praise = rng.random((n, len(words))) < 0.4
months = rng.integers(0, 48, n)
dates = [f"{m % 28 + 1:02d}/{m % 12 + 1:02d}/{2020 + m // 12}" for m in months]
flats = pd.DataFrame(
    {
        "area": rng.normal(70, 20, n).round(1),
        "rooms": rng.integers(1, 6, n),
        "town": rng.choice(["York", "Hull", "Ely"], n),
        "listed": dates,
        "praise": [" ".join(rng.permutation(words[own])) for own in praise],
    }
)
flats["area"] += 8 * flats["rooms"]  # so that one tells of the other
per_metre = flats["town"].map({"York": 1.5, "Hull": 0.8, "Ely": 1.0}) / 40
noise = rng.normal(scale=0.3, size=n)
rent = flats["area"] * per_metre + praise @ worth.to_numpy() + months / 24 + noise
flats.loc[rng.random(n) < 0.1, ["area"]] = np.nan
train, test = slice(0, 500), slice(500, None)

# %%
# What each column is taken for, and why:

kinds = column_kinds(flats[train])
kinds

# %%
# An ordinary estimator, and the code that one could have written:

settings = {"goal": "fast", "kinds": kinds, "random_state": 0}
moe = make_mixture(flats[train], rent[train], **settings)
print(to_code(moe))

# %%
# The same once more, but for experts that also learn from rows with gaps:

robust = make_mixture(flats[train], rent[train], **settings)
robust.set_params(
    experts=[(name, KindDropout(each, kinds)) for name, each in robust.experts]
)

# %%
# What is lost on new rows where a kind of column is missing:

models = {"as it is": moe, "trained with dropout": robust}
reports = {
    name: kind_report(
        model.fit(flats[train], rent[train]), flats[test], rent[test], kinds
    )
    for name, model in models.items()
}
reports["as it is"].round(2)

# %%
# ``ratio`` is the loss without a kind over the loss with it. Of both mixtures:

loss = pd.DataFrame({name: report["loss"] for name, report in reports.items()})
loss.loc["none"] = [
    report["loss"].iloc[0] / report["ratio"].iloc[0] for report in reports.values()
]
loss = loss.sort_values("as it is")
loss.plot.barh(
    figsize=(6, 3.5),
    color=["#D55E00", "#0072B2"],
    xlabel="root mean squared error of new rows",
    ylabel="kind that is missing",
)
plt.tight_layout()
plt.show()
