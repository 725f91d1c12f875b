"""Experts for a raw table: of the whole of it, of one kind of column, and of other encodings."""

from __future__ import annotations

from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from ._encoders import (
    calendar,
    components,
    ngrams,
    numbers,
    one_hot,
    ordinal,
    pipeline,
    scaled,
    scaled_calendar,
    scaled_target,
    splines,
    target,
)
from ._kinds import KINDS, column_kinds

TASKS = ("regression", "classification")

STRINGS = ("dirty", "text")
CATEGORIES = ("code", "categorical")

MOST_ROWS_OF_KERNELS = 10_000
"""Beyond, a support vector machine takes longer than all the others: kernel features and a ridge
regression stand in for it."""


def feature_experts(X, task, kinds=None, *, views=True, cheap=False, string_encoder=None):
    """Experts that differ in what they see of a table, and in how.

    - Of the whole table: boosting with native categories, a forest, a linear model (of splines,
      indicators of categories, n-grams of strings and cycles of dates), neighbours, and a
      support vector machine (for classes, a logistic regression of kernel features).
    - Of one kind of column each, where there are two or more: ``only_numeric``,
      ``only_categories``, ``only_strings``, ``only_dates``.
    - Views, the whole table encoded otherwise: boosting and extremely randomised trees of the
      mean targets of categories.

    Parameters
    ----------
    X : {frame, array-like} of shape (n_samples, n_features)
        Its columns are looked at where `kinds` does not say what they are.
    task : {"regression", "classification"}
    kinds : dict of {column: str}, default=None
        As `column_kinds` returns it, or what of it is not to be guessed.
    views : bool, default=True
        Whether to add the views.
    cheap : bool, default=False
        Only linear models and one boosting of 50 trees.
    string_encoder : transformer, default=None
        Turns one column of strings into numbers for all but linear models, in place of 20
        principal components of n-grams: for example ``skrub.StringEncoder()``,
        ``skrub.GapEncoder()``, or ``skrub.TextEncoder("path/of/a/local/model")`` for embeddings of
        a sentence transformer (extra ``tables``).

    Returns
    -------
    experts : list of (str, Pipeline)
        Unfitted; each takes the raw table. What `MixtureOfExpertsRegressor` and
        `MixtureOfExpertsClassifier` take as `experts`, best with ``overlap=1``.

    Raises
    ------
    ValueError
        If there is no such task, or no column to learn from.

    Examples
    --------
    >>> import pandas as pd
    >>> from skmoe.tables import feature_experts
    >>> X = pd.DataFrame(
    ...     {
    ...         "size": [30.5, 42.0, 71.5] * 10,
    ...         "town": ["York", "Leeds", "Hull"] * 10,
    ...     }
    ... )
    >>> [name for name, _ in feature_experts(X, "regression", cheap=True)]
    ['boosting', 'linear', 'only_numeric', 'only_categories']
    """
    if task not in TASKS:
        raise ValueError(f"task must be one of {TASKS}, got {task!r}")
    kinds = column_kinds(X, kinds)
    if not kinds.columns(*KINDS):
        raise ValueError(f"no column to learn from:\n{kinds}")
    models = _REGRESSORS if task == "regression" else _CLASSIFIERS
    strings = components() if string_encoder is None else string_encoder
    if cheap:
        return _cheap_experts(kinds, task, models, strings)
    experts = _whole_table_experts(kinds, task, models, strings)
    if len(X) > MOST_ROWS_OF_KERNELS:
        experts[-1][1].set_params(model=models["smooth for many rows"]())
    experts += _kind_experts(kinds, task, models)
    return experts + (_views(kinds, task, models, strings) if views else [])


def _standardised(model):
    """A regressor whose settings are for a target in standard deviations."""
    return TransformedTargetRegressor(model, transformer=StandardScaler())


def _kernel_classifier():
    return make_pipeline(Nystroem(n_components=50), LogisticRegression(C=10.0, max_iter=1000))


_REGRESSORS = {
    "boosting": HistGradientBoostingRegressor,
    "forest": lambda: RandomForestRegressor(max_features=1 / 3),
    "extra_trees": lambda: ExtraTreesRegressor(max_features=1 / 3),
    "linear": Ridge,
    "neighbours": lambda: KNeighborsRegressor(10),
    "smooth": lambda: _standardised(SVR(C=10)),
    "smooth for many rows": lambda: _standardised(make_pipeline(Nystroem(), Ridge(0.1))),
    "tree": lambda: DecisionTreeRegressor(max_leaf_nodes=16),
}
_CLASSIFIERS = {
    "boosting": HistGradientBoostingClassifier,
    "forest": RandomForestClassifier,
    "extra_trees": lambda: ExtraTreesClassifier(min_samples_leaf=2),
    "linear": lambda: LogisticRegression(max_iter=1000),
    "neighbours": lambda: KNeighborsClassifier(10),
    "smooth": _kernel_classifier,
    "smooth for many rows": _kernel_classifier,
    "tree": lambda: DecisionTreeClassifier(max_leaf_nodes=16),
}


def readable_experts(kinds, task):
    """Linear experts of each kind of column and of all of them, and a small tree.

    Parameters
    ----------
    kinds : ColumnKinds
    task : {"regression", "classification"}

    Returns
    -------
    experts : list of (str, Pipeline)
    """
    models = _REGRESSORS if task == "regression" else _CLASSIFIERS
    return [
        *_linear_kind_experts(kinds, models),
        ("linear", pipeline(kinds, _LINEAR_PARTS, models["linear"](), sparse=True)),
        ("tree", pipeline(kinds, _tree_parts(task, components()), models["tree"]())),
    ]


def _whole_table_experts(kinds, task, models, strings):
    dense = _dense_parts(strings)
    smooth = "svm" if task == "regression" else "kernel"
    return [
        ("boosting", _boosting(kinds, task, models["boosting"](), strings)),
        ("forest", pipeline(kinds, _tree_parts(task, strings), models["forest"]())),
        ("linear", pipeline(kinds, _LINEAR_PARTS, models["linear"](), sparse=True)),
        ("neighbours", pipeline(kinds, dense, models["neighbours"]())),
        (smooth, pipeline(kinds, dense, models["smooth"]())),
    ]


def _cheap_experts(kinds, task, models, strings):
    boosting = models["boosting"]().set_params(max_iter=50)
    return [
        ("boosting", _boosting(kinds, task, boosting, strings)),
        ("linear", pipeline(kinds, _LINEAR_PARTS, models["linear"](), sparse=True)),
        *_linear_kind_experts(kinds, models),
    ]


def _views(kinds, task, models, strings):
    """The whole table with mean targets of all categories."""
    parts = [
        ("numbers", ("numeric", "code"), numbers(), False),
        ("targets", (*CATEGORIES, "dirty"), target(task), False),
        ("strings", STRINGS, strings, True),
        ("dates", ("datetime",), calendar(), False),
    ]
    return [
        ("boosting_of_targets", pipeline(kinds, parts, models["boosting"]())),
        ("extra_trees_of_targets", pipeline(kinds, parts, models["extra_trees"]())),
    ]


def _kind_experts(kinds, task, models):
    parts = {
        "numeric": (("numbers", ("numeric", "code"), numbers(), False), "extra_trees"),
        "categories": (("targets", (*CATEGORIES, "dirty"), scaled_target(task), False), "linear"),
        "strings": (("strings", STRINGS, ngrams(), True), "linear"),
        "dates": (("dates", ("datetime",), calendar(), False), "boosting"),
    }
    present = {name: part for name, part in parts.items() if kinds.columns(*part[0][1])}
    if len(present) < 2:
        return []
    return [
        (f"only_{name}", pipeline(kinds, [part], models[model](), sparse=model == "linear"))
        for name, (part, model) in present.items()
    ]


def _linear_kind_experts(kinds, models):
    parts = {
        "numeric": ("numbers", ("numeric",), splines(), False),
        "categories": ("categories", (*CATEGORIES, "dirty"), one_hot(), False),
        "strings": ("strings", STRINGS, ngrams(), True),
        "dates": ("dates", ("datetime",), scaled_calendar(), False),
    }
    present = {name: part for name, part in parts.items() if kinds.columns(*part[1])}
    if len(present) < 2:
        return []
    return [
        (f"only_{name}", pipeline(kinds, [part], models["linear"](), sparse=True))
        for name, part in present.items()
    ]


def _boosting(kinds, task, model, strings):
    """Boosting that knows which of its columns are categories: they come first."""
    n_native = len(kinds.columns("categorical"))
    if n_native:
        model.set_params(categorical_features=list(range(n_native)))
    parts = [
        ("categories", ("categorical",), ordinal(), False),
        ("numbers", ("numeric", "code"), numbers(), False),
        ("targets", ("dirty",), target(task), False),
        ("strings", STRINGS, strings, True),
        ("dates", ("datetime",), calendar(), False),
    ]
    return pipeline(kinds, parts, model)


def _tree_parts(task, strings):
    return [
        ("numbers", ("numeric", "code"), numbers(), False),
        ("categories", ("categorical",), one_hot(), False),
        ("targets", ("dirty",), target(task), False),
        ("strings", STRINGS, strings, True),
        ("dates", ("datetime",), calendar(), False),
    ]


def _dense_parts(strings):
    return [
        ("numbers", ("numeric", "code"), scaled(), False),
        ("categories", ("categorical", "dirty"), one_hot(), False),
        ("strings", STRINGS, strings, True),
        ("dates", ("datetime",), scaled_calendar(), False),
    ]


_LINEAR_PARTS = [
    ("numbers", ("numeric", "code"), splines(), False),
    ("categories", (*CATEGORIES, "dirty"), one_hot(), False),
    ("strings", STRINGS, ngrams(), True),
    ("dates", ("datetime",), scaled_calendar(), False),
]
