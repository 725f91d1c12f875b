"""A mixture of experts on real data, in three short acts; what ``make demo`` runs.

1. A problem with regimes: is the digit in the picture even? Linear experts, and who knows what.
2. A pool of models for a problem of few regimes: how ill is the patient in a year? What the fit
   itself says of the gate.
3. Two regimes in words and units; then one file that is saved, inspected and loaded elsewhere.

It takes a minute or so on two cores and downloads nothing. Nothing is tuned, and
every loss is that of rows which the model was not fitted on.
"""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from sklearn.datasets import load_diabetes, load_digits
from sklearn.ensemble import (
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingRegressor,
)
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import log_loss, root_mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skmoe
from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor

OUTPUT = Path("build") / "demo"
LEVEL = 0.001
"""Relative differences below this are called level."""


def against(loss, rival):
    """A loss beside that of a rival, in words."""
    change = loss / rival - 1
    return "level" if abs(change) < LEVEL else f"{change:+.1%}"


def even_digits():
    """Pictures of digits, whether each is even, and the digit, in two parts."""
    X, digit = load_digits(return_X_y=True)
    X = X / 16  # grey levels from 0 to 1
    return train_test_split(
        X, digit % 2 == 0, digit, test_size=1 / 3, random_state=0
    )


def digits_of_experts(moe, X, digit):
    """How many pictures of each digit each expert leads for, shape (K, 10)."""
    leader = moe.apply(X)
    counts = np.zeros((len(moe.experts_), 10), dtype=int)
    np.add.at(counts, (leader, digit), 1)
    return counts


def act_1():
    """Regimes: the mixture of linear models against one, and against a forest."""
    X, X_test, y, y_test, _, digit = even_digits()
    print(
        f"1. Is the digit even?  {len(X)} pictures of 8 x 8 pixels, {len(X_test)} held out"
    )
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
        print(
            f"   {name:30} {model.score(X_test, y_test):8.3f}  {loss:8.3f}",
            flush=True,
        )
    counts = digits_of_experts(model, X_test, digit)
    print("   Nobody told the gate which digits there are. Each expert leads for")
    for k, of_expert in enumerate(counts):
        own = [str(d) for d in range(10) if of_expert[d] > counts[:, d].sum() / 2]
        print(
            f"     expert {k}: {of_expert.sum():3d} pictures, most of the {', '.join(own)}"
        )
    print(
        f"   What the fit says, on held-out training rows: gain\n{indented(model.lift_)}"
    )
    return model, X_test, digit, counts


def act_2():
    """A pool of different models, against stacking the same."""
    X, y = load_diabetes(return_X_y=True, scaled=False)
    X, X_test, y, y_test = train_test_split(X, y, test_size=1 / 3, random_state=0)
    print(
        f"\n2. How ill is the patient in a year?  {len(X)} patients, {len(X_test)} held out"
    )
    pool = [
        ("linear", make_pipeline(StandardScaler(), RidgeCV())),
        ("forest", RandomForestRegressor(random_state=0)),
        ("boosting", GradientBoostingRegressor(random_state=0)),
        ("k-NN", make_pipeline(StandardScaler(), KNeighborsRegressor(15))),
    ]
    moe = MixtureOfExpertsRegressor(pool, random_state=0).fit(X, y)
    stack = StackingRegressor(pool).fit(X, y)
    mixed, stacked = (
        root_mean_squared_error(y_test, model.predict(X_test))
        for model in (moe, stack)
    )
    print(f"   {'stacking of four models':30} {stacked:8.1f}  error (RMSE)")
    print(f"   {'mixture of the same':30} {mixed:8.1f}  {against(mixed, stacked)}")
    gain, error = moe.lift_.over_shared, moe.lift_.over_shared_se
    print(
        f"   What the fit says: the gate gains {gain:+.4f} ± {error:.4f} log-likelihood per row"
    )
    said = (
        "nothing to go by"
        if gain < 3 * error
        else "in how sure it is; the mean is as above"
    )
    print(f"   over the consensus of all experts: {said}.")


def indented(text):
    """A text with each of its parts on a line."""
    return "\n".join(f"     {part.strip()}" for part in str(text)[5:-1].split(","))


def act_3():
    """Two experts in words; then the file."""
    X, y = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
    moe = MixtureOfExpertsRegressor(
        make_pipeline(StandardScaler(), RidgeCV()),
        n_experts=2,
        gate_features=["bmi", "s5"],
        random_state=0,
    ).fit(X, y)
    print(
        "\n3. Two linear experts for the same patients, with the typical error of each"
    )
    leader = moe.apply(X)
    for k, expert in enumerate(moe.experts_):
        slope = (expert[-1].coef_ / expert[0].scale_)[X.columns.get_loc("bmi")]
        of_expert = X[leader == k]
        print(
            f"   expert {k}: {len(of_expert)} patients, body mass index around "
            f"{of_expert['bmi'].median():.0f} kg/m²,\n"
            f"             {slope:+.1f} points of illness per kg/m², ± {moe.scale_[k]:.0f} points"
        )
    path = OUTPUT / "model.skmoe"
    skmoe.dump(moe, path, golden_rows=X[:20], metadata={"data": "diabetes"})
    print(f"   Saved to {path}. In a fresh process:", flush=True)
    command = [sys.executable, "-m", "skmoe"]
    inspected = subprocess.run(
        [*command, "inspect", path], capture_output=True, text=True, check=True
    )
    print("     inspect:", inspected.stdout.splitlines()[0])
    # Raises if the file was changed, or if the golden rows are predicted differently there.
    load = "import sys, skmoe; skmoe.load(sys.argv[1], trusted=True)"
    subprocess.run([sys.executable, "-c", load, path], check=True)
    print(
        "     load: hashes are right, and predictions of 20 golden rows are the same"
    )


def main():
    started = time.perf_counter()
    OUTPUT.mkdir(parents=True, exist_ok=True)
    shown = act_1()
    act_2()
    act_3()
    try:
        from _demo_picture import draw
    except ImportError:
        print(
            "\nNo picture: matplotlib is missing; pip install 'skmoe[plot]' brings it."
        )
    else:
        draw(*shown, OUTPUT / "regimes.png")
        print(f"\nPicture: {OUTPUT / 'regimes.png'}.", end=" ")
    print(f"{time.perf_counter() - started:.0f} seconds in all.")


if __name__ == "__main__":
    main()
