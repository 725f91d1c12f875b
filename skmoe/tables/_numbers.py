"""Numbers of a raw table, for estimators that take missing ones."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from ._frames import as_numbers


class NumberFeatures(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Columns as numbers, NaN where a value is missing or no finite number.

    A column without any number in training is 0 throughout: it says nothing, and there are
    estimators that cannot be fitted to it (scikit-learn's histogram gradient boosting).

    Attributes
    ----------
    empty_ : ndarray of shape (n_features,), dtype bool
        Which columns these are.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only if X was a frame with string column names.

    Examples
    --------
    >>> from skmoe.tables import NumberFeatures
    >>> NumberFeatures().fit_transform([["1.5", None, True], ["many", None, False]])
    array([[1.5, 0. , 1. ],
           [nan, 0. , 0. ]])
    """

    def fit(self, X, y=None):
        """Find the columns without numbers.

        Parameters
        ----------
        X : {frame, array-like} of shape (n_samples, n_features)
        y : None

        Returns
        -------
        self : NumberFeatures
        """
        self.empty_ = np.isnan(as_numbers(check_table(self, X, reset=True))).all(axis=0)
        return self

    def transform(self, X):
        """The numbers.

        Parameters
        ----------
        X : {frame, array-like} of shape (n_samples, n_features)

        Returns
        -------
        numbers : ndarray of shape (n_samples, n_features), dtype float64
        """
        check_is_fitted(self)
        numbers = as_numbers(check_table(self, X, reset=False))
        numbers[:, self.empty_] = 0.0
        return numbers

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        return tags


def check_table(estimator, X, reset):
    """A frame as it is, its columns remembered or compared; anything else as a checked array.

    Values may be missing, and of any type.

    Parameters
    ----------
    estimator : estimator
        Its ``n_features_in_`` and ``feature_names_in_`` are set or compared.
    X : {frame, array-like} of shape (n_samples, n_features)
    reset : bool

    Returns
    -------
    X : frame or ndarray of shape (n_samples, n_features)
    """
    if hasattr(X, "columns"):
        validate_data(estimator, X, reset=reset, skip_check_array=True)
        return X
    if not hasattr(X, "dtype"):  # NumPy would make strings of numbers beside strings
        X = np.asarray(X, dtype=object)
    return validate_data(estimator, X, reset=reset, dtype=None, ensure_all_finite="allow-nan")
