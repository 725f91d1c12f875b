"""The question whether an array needs scikit-learn's checks, asked at a tenth of their cost.

For a single row the full checks take as long as a linear expert.
"""

import numpy as np
from sklearn import get_config


def is_valid_array(estimator, X, dtypes):
    """Whether X is an array in which scikit-learn's checks of new rows would find nothing.

    Parameters
    ----------
    estimator : fitted estimator
        With ``n_features_in_``. One that knows names of columns has to compare them.
    X : object
    dtypes : str
        Characters of the data types that need no conversion.

    Returns
    -------
    valid : bool
        False where there may be something to find or to convert: missing values, too.
    """
    if type(X) is not np.ndarray or X.ndim != 2 or X.dtype.char not in dtypes:
        return False
    if X.shape[1] != estimator.n_features_in_ or hasattr(estimator, "feature_names_in_"):
        return False
    return get_config()["assume_finite"] or bool(np.isfinite(X).all())
