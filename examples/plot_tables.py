"""
From a raw table to a mixture
=============================

Three lines make a mixture of a table as it is; one more tells what each kind of column is worth.

Flats with numbers, categories, dates and a few words of praise. `make_mixture` looks at the
columns and returns an ordinary estimator, with experts for the whole table and for each kind of
column. With `KindDropout` around its experts it also learns from rows in which a kind is missing.
That costs a little where nothing is missing, and saves much of what a missing text costs.
"""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from skmoe.tables import KindDropout, column_kinds, kind_report, make_mixture, to_code

rng = np.random.default_rng(0)
n = 800
words = np.array(["garden", "renovated", "noisy", "balcony", "dark", "sunny", "lift", "central"])
worth = np.array([0.6, 0.8, -0.7, 0.4, -0.6, 0.5, 0.1, 0.3])
praise = rng.random((n, len(words))) < 0.4
months = rng.integers(0, 48, n)
flats = pd.DataFrame(
    {
        "area": rng.normal(70, 20, n).round(1),
        "rooms": rng.integers(1, 6, n),
        "town": rng.choice(["York", "Hull", "Ely"], n),
        "listed": [f"{m % 28 + 1:02d}/{m % 12 + 1:02d}/{2020 + m // 12}" for m in months],
        "praise": [" ".join(rng.permutation(words[own])) for own in praise],
    }
)  # fmt: skip
flats["area"] += 8 * flats["rooms"]  # so that one tells of the other
rent = (
    flats["area"] / 40 * flats["town"].map({"York": 1.5, "Hull": 0.8, "Ely": 1.0})
    + praise @ worth + months / 24 + rng.normal(scale=0.3, size=n)
)  # fmt: skip
flats.loc[rng.random(n) < 0.1, ["area"]] = np.nan
train, test = slice(0, 500), slice(500, None)

kinds = column_kinds(flats[train])
print(kinds)
moe = make_mixture(flats[train], rent[train], goal="fast", kinds=kinds, random_state=0)
print(to_code(moe))
robust = make_mixture(flats[train], rent[train], goal="fast", kinds=kinds, random_state=0)
robust.set_params(experts=[(name, KindDropout(each, kinds)) for name, each in robust.experts])

models = {"as it is": moe, "trained with dropout": robust}
reports = {
    name: kind_report(model.fit(flats[train], rent[train]), flats[test], rent[test], kinds)
    for name, model in models.items()
}
print(reports["as it is"].round(2))

loss = pd.DataFrame({name: report["loss"] for name, report in reports.items()})
loss.loc["none"] = [
    report["loss"].iloc[0] / report["ratio"].iloc[0] for report in reports.values()
]
loss = loss.sort_values("as it is")
loss.plot.barh(figsize=(6, 3.5), xlabel="root mean squared error", ylabel="kind that is missing")
plt.tight_layout()
plt.show()
