"""How columns of each kind are encoded for an expert; what is done is scikit-learn's work."""

from __future__ import annotations

from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    OrdinalEncoder,
    QuantileTransformer,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)

from ._dates import CalendarFeatures
from ._frames import as_text
from ._numbers import NumberFeatures

COMPONENTS = 20
"""Numbers that stand for a string where its n-grams would be too many."""

CATEGORIES = 20
"""Categories of a column with a number of their own; the rarer ones share one."""

NATIVE_CATEGORIES = 200
"""Categories that boosting may tell apart (it takes at most 255)."""


def numbers():
    """Numbers as they are, NaN where they are missing: for trees."""
    return NumberFeatures()


def scaled():
    """Numbers without gaps and on one scale, with an indicator of each gap."""
    return make_pipeline(
        NumberFeatures(),
        SimpleImputer(strategy="median", add_indicator=True),
        StandardScaler(),
    )


def splines():
    """Smooth functions of the ranks of numbers, so that a linear model bends, outliers or not."""
    return make_pipeline(
        NumberFeatures(),
        SimpleImputer(strategy="median", add_indicator=True),
        QuantileTransformer(n_quantiles=20),
        SplineTransformer(n_knots=5, include_bias=False),
    )


def strings():
    """Values as strings, under the names of their columns."""
    return FunctionTransformer(as_text, feature_names_out="one-to-one")


def one_hot():
    """A column for each frequent category, and one for the others and for unseen ones."""
    return make_pipeline(
        strings(),
        OneHotEncoder(max_categories=CATEGORIES, handle_unknown="infrequent_if_exist"),
    )


def ordinal():
    """Numbers for categories, for models that know that these are no quantities."""
    return make_pipeline(
        strings(),
        OrdinalEncoder(
            max_categories=NATIVE_CATEGORIES,
            handle_unknown="use_encoded_value",
            unknown_value=float("nan"),
        ),
    )


def target(task):
    """The mean target of each category, cross-fitted in training, shrunk where rows are few."""
    is_regression = task == "regression"
    encoder = TargetEncoder(target_type="continuous" if is_regression else "auto")
    if encoder.random_state is None:  # scikit-learn before 1.9
        encoder.set_params(random_state=0)
    else:
        folds = KFold if is_regression else StratifiedKFold
        encoder.set_params(cv=folds(5, shuffle=True, random_state=0))
    return make_pipeline(strings(), encoder)


def scaled_target(task):
    """The same on one scale, for models that measure distances or are penalised."""
    return make_pipeline(*(step for _, step in target(task).steps), StandardScaler())


def ngrams():
    """Frequencies of groups of two to four letters, sparse: for linear models."""
    return make_pipeline(
        strings(),
        HashingVectorizer(
            analyzer="char_wb", ngram_range=(2, 4), n_features=2**13, alternate_sign=False
        ),
        TfidfTransformer(sublinear_tf=True),
    )


def components():
    """A few principal components of groups of three letters: for trees and for distances.

    As each expert encodes for itself, this is made cheap: it takes half the time that the
    components of `ngrams` do.
    """
    return make_pipeline(
        strings(),
        HashingVectorizer(
            analyzer="char_wb", ngram_range=(3, 3), n_features=2**11, alternate_sign=False
        ),
        TfidfTransformer(sublinear_tf=True),
        TruncatedSVD(COMPONENTS, n_iter=2),
    )


def calendar():
    """Dates as numbers, NaN where they are missing: for trees."""
    return CalendarFeatures(cycles=False)


def scaled_calendar():
    """Dates with their cycles, without gaps and on one scale."""
    return make_pipeline(CalendarFeatures(), SimpleImputer(), StandardScaler())


def encoder(kinds, parts, sparse=False):
    """A ColumnTransformer of these parts, without those that have no columns.

    Parameters
    ----------
    kinds : ColumnKinds
    parts : list of (str, tuple of str, transformer, bool)
        Name, kinds of columns, what is done to them, and whether to each of them by itself, as
        encoders of strings need it.
    sparse : bool, default=False
        Whether the result may be sparse: trees take no missing values in sparse columns.

    Returns
    -------
    encoder : ColumnTransformer
    """
    made = []
    for name, of_kinds, transformer, is_single in parts:
        columns = kinds.columns(*of_kinds)
        if is_single:
            made += [(f"{name}_{each}", clone(transformer), each) for each in columns]
        elif columns:
            made.append((name, transformer, columns))
    return ColumnTransformer(made, sparse_threshold=0.3 if sparse else 0.0)


def pipeline(kinds, parts, model, sparse=False):
    """An expert: columns encoded, and a model; see `encoder`."""
    return Pipeline([("columns", encoder(kinds, parts, sparse)), ("model", model)])
