"""
Rows in order of time
=====================

An expert of the season, one of the latest count, and a gate that knows how old that
count is.

Bikes rented by the hour. The latest count that is known is between one and 96 hours
old. Lags are features that the user makes, since nobody else knows what is known
when: here the difference between that count and the usual one. Two rules keep the
judgement honest: the test rows come after all training rows, and the experts are
judged in blocks of time (``KFold`` without shuffling), so that none is judged by an
hour whose neighbours it has learned. The gate sees the age alone, and learns how
long the latest count is worth more than the season.
"""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from sklearn.compose import make_column_transformer
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline

from skmoe import MixtureOfExpertsRegressor
from skmoe.tables import CalendarFeatures

rng = np.random.default_rng(0)
hours = pd.Series(pd.date_range("2024-01-01", periods=24 * 120, freq="h"))
weather = np.zeros(len(hours))  # nobody measures it; it stays for a day or so
for t in range(1, len(hours)):
    weather[t] = 0.97 * weather[t - 1] + rng.normal(scale=0.25)
hour, weekday = hours.dt.hour, hours.dt.day_of_week
busy = np.exp(-((hour - 17) ** 2) / 20) + np.exp(-((hour - 8) ** 2) / 4)
count = 4 * busy * np.where(weekday < 5, 1.0, 0.5) + weather + hours.index / 1000

# %%
# The features. ``usual`` is the mean of that hour of the week, of past rows only.

n_past = 24 * 80
week_hour = weekday * 24 + hour
usual = week_hour.map(count[:n_past].groupby(week_hour[:n_past]).mean())
now = np.arange(96, len(hours))
age = rng.integers(1, 97, len(now))
X = pd.DataFrame(
    {
        "time": hours[now].to_numpy(),
        "age": age,
        "usual": usual[now].to_numpy(),
        "difference": (count - usual).to_numpy()[now - age],
    }
)
y = count[now].to_numpy()
past, future = now < n_past, now >= n_past

# %%
# Two experts, and a gate that sees one column:

calendar = (CalendarFeatures(), ["time"])
season = make_pipeline(
    make_column_transformer(calendar, ("passthrough", ["usual"])), Ridge()
)
latest = make_pipeline(
    make_column_transformer(("passthrough", ["usual", "difference"])), Ridge()
)
moe = MixtureOfExpertsRegressor(
    [("season", season), ("latest", latest)],
    gate_features=["age"],
    overlap=0.1,
    shared_expert=None,
    cv=KFold(5),
    random_state=0,
).fit(X[past], y[past])

# %%
# What the gate has learned, and what it is worth on later rows:

ages = np.array([1, 3, 6, 12, 24, 48, 96])
probes = X[future].iloc[: len(ages)].assign(age=ages)
weight = pd.Series(moe.gate_proba(probes)[:, 1], index=ages)
print(f"weight of the latest count by its age\n{weight.round(2).to_string()}")

alone = {
    name: expert.predict(X[future]) for name, expert in moe.named_experts_.items()
}
predicted = pd.DataFrame({"mixture": moe.predict(X[future]), **alone})
error = predicted.sub(y[future], axis=0) ** 2
bins = pd.cut(
    age[future], [0, 6, 24, 48, 96], labels=["1-6", "7-24", "25-48", "49-96"]
)
rmse = error.groupby(bins, observed=True).mean() ** 0.5
rmse.loc["all"] = error.mean() ** 0.5
print(rmse.round(2))

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
season_colour, latest_colour = "#0072B2", "#E69F00"  # experts 0 and 1
weight.plot(ax=left, marker="o", logx=True, color=latest_colour)
left.set(xlabel="age in hours", ylabel="weight of the latest", ylim=(0, 1))
rmse.plot.bar(ax=right, rot=0, color=["0.3", season_colour, latest_colour])
right.set(xlabel="age in hours", ylabel="error on later rows (RMSE)", ylim=(0, 1.6))
plt.show()
