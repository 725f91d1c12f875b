"""
A raw table: the passengers of the Titanic
==========================================

Names, tickets, cabins, homes, and an age that is not known for one in five. One
call makes a mixture of experts of the table as it is; then we ask what each kind of
column is worth.

.. image:: images/sphx_glr_plot_titanic_001.png
   :alt: log-loss of new passengers, by model
   :width: 640
"""

from matplotlib import pyplot as plt
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import fetch_openml
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skmoe.inspection import expert_report
from skmoe.tables import column_kinds, kind_report, make_mixture, to_code

X, survived = fetch_openml(
    data_id=40945, as_frame=True, return_X_y=True, parser="liac-arff"
)
X = X.drop(columns=["boat", "body"])  # known afterwards only
X, X_new, y, y_new = train_test_split(X, survived, random_state=0)
X.head(3)

# %%
# What is in the columns? `column_kinds` says what it takes each of them for, and
# why; what you say comes first: ``column_kinds(X, kinds={"cabin":
# "categorical"})``.

kinds = column_kinds(X)
kinds

# %%
# `make_mixture` returns an ordinary estimator: boosting and a linear model for the
# whole table, and an expert for each kind of column. ``goal="fast"`` is for a first
# look. The beginning of the code that one could have written oneself:

moe = make_mixture(X, y, goal="fast", kinds=kinds, random_state=0)
print("\n".join(to_code(moe).splitlines()[:12]), "...")

# %%
# Beside it the usual pipelines, which have no use for names, tickets and homes:

numbers = make_column_selector(dtype_include="number")
usual = make_column_transformer(
    (OneHotEncoder(handle_unknown="ignore"), ["sex", "embarked"]),
    (SimpleImputer(add_indicator=True), numbers),
    sparse_threshold=0,
)
models = {
    "logistic regression": make_pipeline(usual, LogisticRegression(max_iter=5000)),
    "boosting": make_pipeline(
        usual, HistGradientBoostingClassifier(random_state=0)
    ),
    "mixture of the raw table": moe,
}
loss = {
    name: log_loss(y_new, model.fit(X, y).predict_proba(X_new))
    for name, model in models.items()
}
figure, ax = plt.subplots(figsize=(6.5, 2), layout="constrained")
bars = ax.barh(list(loss), list(loss.values()), color=["0.65", "0.65", "#D55E00"])
ax.bar_label(bars, fmt="%.3f", padding=3)
ax.margins(x=0.12)
ax.invert_yaxis()
ax.set(xlabel="log-loss of new passengers", title="Who survived?")
plt.show()

# %%
# What does the fit itself say? Nearly all of the prediction is the consensus, the
# blend of all experts: different models of one table need no gate to choose between
# them.

print(f"weight of the consensus: {moe.shared_weight_:.0%}")
print(moe.lift_)

# %%
# What is each kind of column worth? It is blanked in the new rows: ``ratio`` is the
# loss without it over the loss with it. Class and sex are most of it; what is in
# names and homes, little.

report = kind_report(moe, X_new, y_new, kinds)
report[["columns", "loss", "ratio", "leads"]].round(2)

# %%
# The experts one by one, each on the rows for which the gate trusts it most:

expert_report(moe, X_new, y_new)[
    ["rows", "mass", "error", "error_elsewhere"]
].round(2)

# %%
# :doc:`/tables` goes on from here: other goals, experts that are trained for gaps,
# other encoders of strings. The file that `skmoe.dump` writes of this model takes
# rows as raw as these.
