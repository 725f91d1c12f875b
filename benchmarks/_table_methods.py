"""What the benchmark of raw tables compares, as users would call it.

A method is a function ``(split, seed) -> unfitted estimator`` that takes the raw frame. Whatever
is not installed everywhere is imported when it is called.
"""

import tempfile

import numpy as np
import pandas as pd
from _data import _columns, _encoder
from _methods import mixture, pool
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    StackingClassifier,
    StackingRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder

from skmoe.tables import KindDropout, feature_experts, make_mixture


class Vectorised(BaseEstimator):
    """The encoding of the accuracy benchmark: numbers scaled, 20 frequent values one-hot."""

    def fit(self, X, y=None):
        self.encoder_ = _encoder(_columns(X)).fit(_columns(X))
        return self

    def transform(self, X):
        # A column that is missing throughout has lost its type.
        numbers = {name: X[name].astype(float) for name in self.encoder_.transformers_[0][2]}
        strings = {name: X[name].astype(object) for name in self.encoder_.transformers_[1][2]}
        return self.encoder_.transform(_columns(X.assign(**numbers, **strings)))


def default_pool(split, seed):
    return make_pipeline(Vectorised(), mixture(split.task, seed, pool(split.task, seed)))


def linear(split, seed):
    model = Ridge() if split.task == "regression" else LogisticRegression(max_iter=1000)
    return make_pipeline(Vectorised(), model)


def boosting(split, seed):
    """Numbers as they are, everything else as native categories."""
    regression = split.task == "regression"
    model = HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier
    others = [c for c in split.X if not pd.api.types.is_numeric_dtype(split.X[c])]
    codes = OrdinalEncoder(
        max_categories=250, handle_unknown="use_encoded_value", unknown_value=np.nan
    )
    columns = ColumnTransformer(
        [("codes", make_pipeline(FunctionTransformer(_strings), codes), others)],
        remainder=FunctionTransformer(_floats),
    )
    return make_pipeline(
        columns, model(categorical_features=list(range(len(others))), random_state=seed)
    )


def _strings(X):
    return X.astype(object).where(X.notna(), "missing").astype(str)


def _floats(X):
    return X.astype(float)


def boosting_with_dropout(split, seed):
    return KindDropout(boosting(split, seed), dict(split.kinds), random_state=seed)


def goal(split, seed, name):
    return make_mixture(split.X, split.y, name, task=split.task, random_state=seed)


def stacking(split, seed):
    kind = StackingRegressor if split.task == "regression" else StackingClassifier
    return kind(feature_experts(split.X, split.task))


def skrub_pipeline(split, seed):
    from skrub import tabular_pipeline

    return tabular_pipeline("regressor" if split.task == "regression" else "classifier")


class _CatBoost(BaseEstimator):
    def __init__(self, seed):
        self.seed = seed

    def fit(self, X, y):
        import catboost

        self.categories_ = [c for c in X if not pd.api.types.is_numeric_dtype(X[c])]
        model = catboost.CatBoostRegressor if self.regression else catboost.CatBoostClassifier
        self.model_ = model(
            cat_features=self.categories_, random_seed=self.seed, thread_count=1, verbose=False,
            allow_writing_files=False,
        ).fit(self._prepared(X), y)  # fmt: skip
        return self

    def _prepared(self, X):
        return X.assign(**{
            name: _strings(X[name]) if name in self.categories_ else X[name].astype(float)
            for name in X
        })  # fmt: skip

    def predict(self, X):
        return self.model_.predict(self._prepared(X))


class CatBoostRegressor(RegressorMixin, _CatBoost):
    regression = True


class CatBoostClassifier(ClassifierMixin, _CatBoost):
    regression = False

    def predict_proba(self, X):
        return self.model_.predict_proba(self._prepared(X))

    @property
    def classes_(self):
        return self.model_.classes_


def catboost(split, seed):
    return (CatBoostRegressor if split.task == "regression" else CatBoostClassifier)(seed)


class AutoGluon(BaseEstimator):
    """``medium_quality`` within the processor time that `make_mixture` took."""

    def __init__(self, task, seconds):
        self.task = task
        self.seconds = seconds

    def fit(self, X, y):
        from autogluon.tabular import TabularPredictor

        metric = "root_mean_squared_error" if self.task == "regression" else "log_loss"
        predictor = TabularPredictor(
            "y", path=tempfile.mkdtemp(), eval_metric=metric, verbosity=0,
            problem_type="regression" if self.task == "regression" else None,
        )  # fmt: skip
        self.model_ = predictor.fit(
            X.assign(y=y),
            presets="medium_quality",
            time_limit=self.seconds,
            num_cpus=1,
            num_gpus=0,
        )
        return self

    def predict(self, X):
        return self.model_.predict(X).to_numpy()

    def predict_proba(self, X):
        return self.model_.predict_proba(X)[sorted(self.model_.class_labels)].to_numpy()


def autogluon(split, seed):
    return AutoGluon(split.task, split.seconds)


METHODS = {
    "pool": default_pool,
    "make_mixture": lambda split, seed: goal(split, seed, "accuracy"),
    "robust": lambda split, seed: goal(split, seed, "robust"),
    "fast": lambda split, seed: goal(split, seed, "fast"),
    "readable": lambda split, seed: goal(split, seed, "readable"),
    "stacking": stacking,
    "boosting": boosting,
    "boosting, dropout": boosting_with_dropout,
    "linear": linear,
    "skrub": skrub_pipeline,
    "CatBoost": catboost,
    "AutoGluon": autogluon,
}
PACKAGES = {"skrub": "skrub", "CatBoost": "catboost", "AutoGluon": "autogluon"}
