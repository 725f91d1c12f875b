"""What do balance, capacity, dropout, annealing, z-loss and a chosen penalty bring?

First table: mixtures of linear experts that differ in one option of training. Per data set and
option, over random splits with the standard error over these: the coefficient of variation of the
experts' load on test rows; the gain in log-likelihood per test row over the mixture without
options, paired; and the ratio of losses (root mean squared error, or log-loss), likewise. The
line without options has its log-likelihood and loss as they are. Protocol: that of ``gates.py``,
with at most 100 iterations. In ``sectors``, as drawn there, 16 regimes of equal size meet as many
experts.

Second table: starts that annealing rescues. One draw of a piecewise problem per number of
regimes, the classical in-sample algorithm (overlap 0, least squares, a nearly unpenalised gate),
and as many starts as asked for. Printed is the share of starts that end within 1 % of the best
known optimum: of the way that it lies above a single expert; in brackets the mean log-likelihood.
Best known is the best of all runs, of one from the true regimes, too.

    python benchmarks/routing.py [--data FOLDER] [--seeds 5] [--starts 20] [--only options|starts]
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
from _data import DATA
from gates import NAMES, draw
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import log_loss

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor, SoftmaxGate
from skmoe.datasets import make_piecewise_regression

OPTIONS = {
    "none": {},
    "balance 0.01": {"gate": SoftmaxGate(balance=0.01)},
    "balance 0.1": {"gate": SoftmaxGate(balance=0.1)},
    "balance 1": {"gate": SoftmaxGate(balance=1.0)},
    "capacity_factor 1": {"capacity_factor": 1.0},
    "capacity_factor 1.5": {"capacity_factor": 1.5},
    "expert_dropout 0.1": {"expert_dropout": 0.1},
    "expert_dropout 0.3": {"expert_dropout": 0.3},
    "annealing 0.7": {"annealing": 0.7},
    "annealing 0.5": {"annealing": 0.5},
    "annealing 0.2": {"annealing": 0.2},
    "z_loss 0.001": {"gate": SoftmaxGate(z_loss=0.001)},
    "z_loss 0.1": {"gate": SoftmaxGate(z_loss=0.1)},
    "jitter 0.5": {"gate": SoftmaxGate(jitter=0.5)},
    "alpha auto": {"gate": SoftmaxGate("auto")},
    "alpha auto, balance 0.1": {"gate": SoftmaxGate("auto", balance=0.1)},
    "alpha auto, annealing 0.5": {"gate": SoftmaxGate("auto"), "annealing": 0.5},
}
REGIMES = (4, 6, 8)
ANNEALING = (1.0, 0.7, 0.5, 0.2)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder with datasets.json")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--starts", type=int, default=20)
    parser.add_argument("--only", choices=["options", "starts"])
    asked = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    if asked.only != "starts":
        print(
            "| data | option | variation of load | log-likelihood | loss |\n|---|---|---|---|---|"
        )
        for name in NAMES:
            compare_options(asked.data, name, asked.seeds)
    if asked.only != "options":
        print("\n| regimes | start | " + " | ".join(f"annealing {a}" for a in ANNEALING) + " |")
        print("|---|---|" + "---|" * len(ANNEALING))
        for n_regimes in REGIMES:
            compare_starts(n_regimes, asked.starts)


def compare_options(folder, name, seeds):
    """Print a line per option for one data set."""
    plain = None
    for label, option in OPTIONS.items():
        load, likelihood, loss = np.transpose(
            [measure(folder, name, seed, option) for seed in range(seeds)]
        )
        if plain is None:
            plain = likelihood, loss
            figures = f"{with_error(likelihood)} | {with_error(loss)}"
        else:
            gain = with_error(likelihood - plain[0], sign="+")
            figures = f"{gain} | × {with_error(loss / plain[1])}"
        print(f"| {name} | {label} | {with_error(load)} | {figures} |", flush=True)


def measure(folder, name, seed, option):
    """Variation of load, log-likelihood and loss on the test rows of one split."""
    split, task = draw(folder, name, seed)
    regression = task == "regression"
    mixture = MixtureOfExpertsRegressor if regression else MixtureOfExpertsClassifier
    model = mixture(
        Ridge() if regression else LogisticRegression(max_iter=1000),
        n_experts=16 if name == "sectors" else 4,
        overlap=0.1,
        shared_expert=None,
        max_iter=100,
        random_state=seed,
        **{"gate": SoftmaxGate(), **option},
    ).fit(split.X, split.y)
    if regression:
        loss = np.sqrt(np.mean(np.square(split.y_test - model.predict(split.X_test))))
    else:
        loss = log_loss(split.y_test, model.predict_proba(split.X_test), labels=model.classes_)
    likelihood = model.log_density(split.X_test, split.y_test).mean()
    return model.utilization(split.X_test).coefficient_of_variation, likelihood, loss


def compare_starts(n_regimes, n_starts):
    """Print the share of starts that reach the best known optimum of one problem."""
    problem = make_piecewise_regression(2000, n_regimes=n_regimes, noise=0.3, random_state=0)

    def log_likelihood(n_experts=n_regimes, **parameters):
        model = MixtureOfExpertsRegressor(
            LinearRegression(),
            n_experts=n_experts,
            gate=SoftmaxGate(1e-4),
            overlap=0.0,
            e_step="insample",
            max_iter=500,
            tol=1e-5,
            **parameters,
        )
        return model.fit(problem.X, problem.y).log_likelihood_

    reached = {
        (init, annealing): np.array(
            [
                log_likelihood(init=init, annealing=annealing, random_state=seed)
                for seed in range(n_starts)
            ]
        )
        for init in ("kmeans", "random")
        for annealing in ANNEALING
    }
    best = max(log_likelihood(init=np.eye(n_regimes)[problem.regime]), *map(max, reached.values()))
    enough = best - 0.01 * (best - log_likelihood(n_experts=1))
    for init in ("kmeans", "random"):
        shares = [f"{np.mean(reached[init, each] >= enough):.2f}" for each in ANNEALING]
        means = [f"{reached[init, each].mean():.3f}" for each in ANNEALING]
        cells = [f"{share} ({mean})" for share, mean in zip(shares, means, strict=True)]
        print(
            f"| {n_regimes} (best {best:.3f}) | {init} | " + " | ".join(cells) + " |", flush=True
        )


def with_error(values, sign=""):
    """Mean and standard error as text."""
    return f"{np.mean(values):{sign}.3f} ± {np.std(values, ddof=1) / np.sqrt(len(values)):.3f}"


if __name__ == "__main__":
    main()
