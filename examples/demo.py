"""A mixture of experts on real data, in four short acts; what ``make demo`` runs.

1. A problem with regimes: is the digit in the picture even? Who knows what, and how
   much it gains.
2. Regimes in words and units: diabetes. And how sure is it, patient by patient?
3. A pool of models for a problem without regimes, and what the fit says of it.
4. One file that is saved, inspected and loaded in another process.

It takes less than a minute on two cores and downloads nothing. Nothing is tuned,
and every loss is that of rows which the model was not fitted on.
"""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.ensemble import RandomForestClassifier, StackingClassifier
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import log_loss, root_mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skmoe
from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.inspection import regime_table

OUTPUT = Path("build") / "demo"
LEVEL = 0.001
"""Relative differences below this are called level."""


def against(loss, rival):
    """A loss beside that of a rival, in words."""
    change = loss / rival - 1
    return "level" if abs(change) < LEVEL else f"{change:+.1%}"


def said_of(moe):
    """What the fit says of its gate: a gain of three standard errors is one."""
    gain, error = moe.lift_.over_shared, moe.lift_.over_shared_se
    verdict = "the gate pays" if gain > 3 * error else "no regimes: take stacking"
    return f"{gain:+.4f} ± {error:.4f} per row: {verdict}"


def even_digits():
    """Pictures of digits, whether each is even, and the digit, in two parts."""
    X, digit = load_digits(return_X_y=True)
    X = X / 16  # grey levels from 0 to 1
    return train_test_split(
        X, digit % 2 == 0, digit, test_size=1 / 3, random_state=0
    )


def digits_of_experts(moe, X, digit):
    """How many pictures of each digit each expert leads for, shape (K, 10)."""
    counts = np.zeros((len(moe.experts_), 10), dtype=int)
    np.add.at(counts, (moe.apply(X), digit), 1)
    return counts


def act_1():
    """Regimes: the mixture of linear models against one, and against a forest."""
    X, X_test, y, y_test, _, digit = even_digits()
    print(f"1. Is the digit even? {len(X)} pictures of 8 x 8, {len(X_test)} new")
    linear = LogisticRegression(max_iter=1000)
    models = {
        "one logistic regression": linear,
        "a random forest": RandomForestClassifier(random_state=0),
        "mixture of four of the former": MixtureOfExpertsClassifier(
            linear, n_experts=4, random_state=0
        ),
    }
    print(f"   {'':30} {'accuracy':>8}  log-loss")
    for name, model in models.items():
        model.fit(X, y)
        loss = log_loss(y_test, model.predict_proba(X_test))
        score = model.score(X_test, y_test)
        print(f"   {name:30} {score:8.3f}  {loss:8.3f}", flush=True)
    counts = digits_of_experts(model, X_test, digit)
    print("   The gate was not told which digits there are. Each expert leads for")
    for k, own in enumerate(counts):
        most = ", ".join(
            str(d) for d in range(10) if own[d] > counts[:, d].sum() / 2
        )
        print(f"     expert {k}: {own.sum():3d} pictures, most of the {most}")
    print(
        "   What the fit itself says, of gate against one model, on held-out rows:"
    )
    print(f"     log-likelihood {said_of(model)}")
    return model, X_test, digit, counts


UNITS = {"bmi": "body mass index (kg/m²)", "s5": "log triglycerides"}
"""What two features of the patients are called in print."""


def patients():
    """Patients, and how ill they are a year later, in two parts."""
    X, y = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
    return train_test_split(
        X.rename(columns=UNITS), y, test_size=1 / 3, random_state=0
    )


def act_2():
    """Two experts in words, and intervals."""
    X, X_test, y, y_test = patients()
    print(f"\n2. How ill in a year? {len(X)} diabetics, {len(X_test)} new")
    linear = make_pipeline(StandardScaler(), RidgeCV())
    moe = MixtureOfExpertsRegressor(
        linear,
        n_experts=2,
        gate_features=list(UNITS.values()),
        overlap=0.0,  # each expert learns from its own rows,
        shared_expert=None,  # and nobody else has a say: to be read
        random_state=0,
    ).fit(X, y)
    mixed, alone = (
        root_mean_squared_error(y_test, model.predict(X_test))
        for model in (moe, linear.fit(X, y))
    )
    print(f"   one linear model: error {alone:.1f} points of illness")
    print(
        f"   two and a gate:   {mixed:.1f} ({against(mixed, alone)}). Two regimes:"
    )
    table = regime_table(moe, X, y, n_features=2)
    slopes = table.coefficients()["coef"].unstack("term")[UNITS["bmi"]]
    for k, (regime, slope) in enumerate(zip(table.regimes, slopes, strict=True)):
        print(f"     expert {k}: {regime.share:.0%} of the patients, who have")
        for feature in regime.description.split(", "):
            print(f"       {feature}")
        print(f"       {slope:+.1f} points for each kg/m², ± {regime.scale:.0f}")
    low, high = moe.predict_interval(X_test, coverage=0.9).T
    width, inside = high - low, np.mean((low <= y_test) & (y_test <= high))
    print(
        f"   How sure? 90 % intervals are {width.min():.0f} to {width.max():.0f} "
        f"points wide;\n   of the new patients {inside:.0%} are within theirs."
    )
    return moe, X


def act_3():
    """A pool of different models, against stacking the same."""
    X, y = load_breast_cancer(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=1 / 3, random_state=0)
    print(f"\n3. Is the tumour malignant? {len(X)} patients, {len(X_test)} new")
    pool = [
        ("linear", make_pipeline(StandardScaler(), LogisticRegression())),
        ("forest", RandomForestClassifier(random_state=0)),
        ("k-NN", make_pipeline(StandardScaler(), KNeighborsClassifier(15))),
    ]
    moe = MixtureOfExpertsClassifier(pool, random_state=0).fit(X, y)
    stack = StackingClassifier(pool).fit(X, y)
    mixed, stacked = (
        log_loss(y_test, model.predict_proba(X_test)) for model in (moe, stack)
    )
    print(f"   stacking three models: log-loss {stacked:.3f}")
    print(f"   mixture of the same:   {mixed:.3f} ({against(mixed, stacked)})")
    print(
        "   What the fit itself says, of gate against consensus, the blend of all:"
    )
    print(f"     log-likelihood {said_of(moe)}")


def act_4(moe, X):
    """The file."""
    path = OUTPUT / "model.skmoe"
    skmoe.dump(moe, path, golden_rows=X[:20], metadata={"data": "diabetes"})
    print(
        f"\n4. The patients' mixture as a file: {path}. In a fresh process",
        flush=True,
    )
    command = [sys.executable, "-m", "skmoe", "inspect", path]
    inspected = subprocess.run(command, capture_output=True, text=True, check=True)
    for line in inspected.stdout.splitlines()[:2]:
        print("   inspect:", line.strip())
    # Raises if the file was changed, or if golden rows get other predictions there.
    load = "import sys, skmoe; skmoe.load(sys.argv[1], trusted=True)"
    subprocess.run([sys.executable, "-c", load, path], check=True)
    print(
        "   load:    hashes are right, predictions of 20 golden rows are the same"
    )


def main():
    started = time.perf_counter()
    OUTPUT.mkdir(parents=True, exist_ok=True)
    shown = act_1()
    mixture_of_patients = act_2()
    act_3()
    act_4(*mixture_of_patients)
    try:
        from _demo_picture import draw
    except ImportError:
        print("\nNo picture: matplotlib is missing (pip install 'skmoe[plot]').")
    else:
        draw(*shown, OUTPUT / "regimes.png")
        print(f"\nPicture: {OUTPUT / 'regimes.png'}.", end=" ")
    print(f"{time.perf_counter() - started:.0f} seconds in all.")


if __name__ == "__main__":
    main()
