"""Linear mixtures beside the classics of piecewise linear regression, and known regimes recovered.

Run ``python benchmarks/piecewise.py [--sets yacht ...] [--rows 800] [--seeds 2]``. Rivals that are
not installed are left out: ``pip install cubist lightgbm linear-tree`` (Cubist is GPL: it is an
extra of this benchmark and never of skmoe; linear-tree needs scikit-learn 1.6 or older). Figures
are root mean squared errors on test rows in standard deviations of the target, and processor
seconds of fit. See README.md.
"""

import argparse
import time
import warnings

import numpy as np
from _data import DATA, load_split
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import adjusted_rand_score

from skmoe import MixtureOfExpertsRegressor
from skmoe.datasets import make_piecewise_regression
from skmoe.gates import SoftmaxGate

SETS = (
    "bike_sharing_hourly", "california_housing", "concrete", "insurance", "kin8nm", "yacht",
)  # fmt: skip
REFERENCE = "Cubist"


def methods(seed):
    """Unfitted models by name."""
    found = {
        "mixture": MixtureOfExpertsRegressor(Ridge(), random_state=seed),
        "mixture, auto": MixtureOfExpertsRegressor(Ridge(), n_experts="auto", random_state=seed),
        "mixture to read": MixtureOfExpertsRegressor(
            Ridge(),
            gate=SoftmaxGate("auto", terms="splines"),
            overlap=0.0,
            shared_expert=None,
            random_state=seed,
        ),
        "ridge": Ridge(),
        "boosting": HistGradientBoostingRegressor(random_state=seed),
    }
    try:
        from cubist import Cubist

        found[REFERENCE] = Cubist(random_state=seed)
        found["Cubist, 5 committees"] = Cubist(n_committees=5, random_state=seed)
        found["Cubist, 20 and 5 near"] = Cubist(n_committees=20, neighbors=5, random_state=seed)
    except ImportError as error:
        print(f"without Cubist: {error}")
    try:
        from lightgbm import LGBMRegressor

        found["LightGBM, linear"] = LGBMRegressor(
            linear_tree=True, random_state=seed, n_jobs=1, verbose=-1
        )
    except ImportError as error:
        print(f"without LightGBM: {error}")
    try:
        from lineartree import LinearTreeRegressor

        found["linear-tree"] = LinearTreeRegressor(Ridge(), max_depth=3)
    except ImportError as error:
        print(f"without linear-tree: {error}")
    return found


def n_parameters(model):
    """Coefficients of experts and gate, which a reader has to look at; "" if not counted."""
    if isinstance(model, Ridge):
        return model.coef_.size + 1
    if not isinstance(model, MixtureOfExpertsRegressor):
        return ""
    gate = model.gate_
    experts = sum(np.size(expert.coef_) + 1 for expert in model.experts_)
    return experts + gate.coef_.size + gate.term_coef_.size + gate.intercept_.size


def compared(names, n_rows, n_seeds):
    """Print errors of all methods on open sets, their ratios to the reference, and seconds."""
    errors, seconds, parameters = {}, {}, {}
    for name in names:
        for seed in range(n_seeds):
            split = load_split(DATA, name, "regression", n_rows, seed)
            for method, model in methods(seed).items():
                started = time.process_time()
                try:
                    model.fit(split.X, split.y)
                except Exception as error:  # a rival that does not run here
                    print(f"{method} on {name}: {type(error).__name__}: {str(error)[:80]}")
                    continue
                seconds.setdefault(method, {})[name, seed] = time.process_time() - started
                parameters.setdefault(method, []).append(n_parameters(model))
                error = np.sqrt(np.mean((model.predict(split.X_test) - split.y_test) ** 2))
                errors.setdefault(method, {})[name, seed] = error
    print("\nmethod | " + " | ".join(names) + " | ratio | worst | seconds | parameters")
    for method, of in errors.items():
        by_set = [np.mean([of[name, seed] for seed in range(n_seeds)]) for name in names]
        line = [method, *(f"{value:.3f}" for value in by_set)]
        if REFERENCE in errors:
            ratios = [of[key] / errors[REFERENCE][key] for key in of]
            line += [f"{np.exp(np.mean(np.log(ratios))):.3f}", f"{max(ratios):.2f}"]
        else:
            line += ["", ""]
        counted = [value for value in parameters[method] if value != ""]
        line += [f"{np.mean(list(seconds[method].values())):.2f}"]
        line += [f"{np.mean(counted):.0f}" if counted else ""]
        print(" | ".join(line), flush=True)


def regimes(kind, n_rows, seed):
    """Features, target and regime: borders are oblique, steps, or cut an interval out."""
    if kind == "oblique":
        made = make_piecewise_regression(n_rows, n_regimes=3, random_state=seed)
        return made.X, made.y, made.regime
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, size=(n_rows, 5))
    high = np.abs(X[:, 0]) < 0.5 if kind == "interval" else X[:, 0] > 0
    regime = np.where(high, 1, np.where(X[:, 1] > 0.2, 2, 0))
    slopes = rng.normal(scale=3, size=(3, 5))
    y = np.sum(X * slopes[regime], axis=1) + 3 * regime + 0.1 * rng.normal(size=n_rows)
    return X, y, regime


def recovered(n_rows, n_seeds):
    """Print how well regimes of new rows are recovered: the adjusted Rand index."""
    print("\nborders | mixture of 3 | to read, of 3")
    for kind in ("oblique", "axis", "interval"):
        scores = []
        for seed in range(n_seeds):
            X, y, regime = regimes(kind, 2 * n_rows, seed)
            for parameters in (
                {},
                {
                    "gate": SoftmaxGate("auto", terms="splines"),
                    "overlap": 0.0,
                    "shared_expert": None,
                },
            ):
                model = MixtureOfExpertsRegressor(
                    LinearRegression(), n_experts=3, random_state=seed, **parameters
                ).fit(X[:n_rows], y[:n_rows])
                scores.append(adjusted_rand_score(regime[n_rows:], model.apply(X[n_rows:])))
        means = np.reshape(scores, (n_seeds, 2)).mean(axis=0)
        print(f"{kind} | {means[0]:.3f} | {means[1]:.3f}", flush=True)


def main():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--rows", type=int, default=800)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", choices=["sets", "regimes"])
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.only != "sets":
        recovered(2000, options.seeds)
    if options.only != "regimes":
        compared(options.sets, options.rows, options.seeds)


if __name__ == "__main__":
    main()
