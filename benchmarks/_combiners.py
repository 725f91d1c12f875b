"""Other ways to combine a pool, beside what packages offer."""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    StackingClassifier,
    StackingRegressor,
)
from sklearn.model_selection import cross_val_predict

ROUNDS = 100
SMALLEST = 1e-6


class _GreedySelection(BaseEstimator):
    """Greedy ensemble selection on cross-fitted predictions, with replacement.

    Caruana, R., Niculescu-Mizil, A., Crew, G. and Ksikes, A. (2004). Ensemble selection from
    libraries of models. ICML. In each round the expert is added whose addition makes the average
    of all that were added best; the average of the best round is kept.
    """

    def __init__(self, experts):
        self.experts = experts

    def fit(self, X, y):
        said = [
            cross_val_predict(expert, X, y, cv=5, method=self.method) for _, expert in self.experts
        ]
        self.weights_ = self._selected(np.stack(said), y)
        self.models_ = [clone(expert).fit(X, y) for _, expert in self.experts]
        return self

    def _selected(self, said, y):
        counts, total, best, smallest = np.zeros(len(said)), 0.0, None, np.inf
        for size in range(1, ROUNDS + 1):
            losses = [self._loss((total + each) / size, y) for each in said]
            chosen = int(np.argmin(losses))
            counts[chosen] += 1
            total = total + said[chosen]
            if losses[chosen] < smallest:
                best, smallest = counts / size, losses[chosen]
        return best

    def _average(self, X):
        pairs = zip(self.weights_, self.models_, strict=True)
        return sum(weight * getattr(model, self.method)(X) for weight, model in pairs if weight)


class GreedySelectionRegressor(RegressorMixin, _GreedySelection):
    """See `_GreedySelection`."""

    method = "predict"

    def _loss(self, prediction, y):
        return np.mean(np.square(prediction - y))

    def predict(self, X):
        return self._average(X)


class GreedySelectionClassifier(ClassifierMixin, _GreedySelection):
    """See `_GreedySelection`."""

    method = "predict_proba"

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return super().fit(X, y)

    def _loss(self, proba, y):
        own = proba[np.arange(len(y)), np.searchsorted(self.classes_, y)]
        return -np.log(np.maximum(own, SMALLEST)).mean()

    def predict_proba(self, X):
        return self._average(X)

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def greedy_selection(task, seed, pool):
    kind = GreedySelectionRegressor if task == "regression" else GreedySelectionClassifier
    return kind(pool(task, seed))


def passthrough(task, seed, pool):
    """Stacking by extra trees that see the experts' opinions and the features."""
    if task == "regression":
        trees = ExtraTreesRegressor(min_samples_leaf=2, random_state=seed)
        return StackingRegressor(pool(task, seed), trees, passthrough=True)
    trees = ExtraTreesClassifier(min_samples_leaf=2, random_state=seed)
    return StackingClassifier(pool(task, seed), trees, passthrough=True)
