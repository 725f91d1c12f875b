"""What each expert is responsible for, how well it does it, and for whom."""

import numpy as np
from sklearn.base import is_classifier

from ._mixture import (
    as_numbers,
    check_mixture,
    check_target,
    feature_names,
    has_several_classes,
    import_pandas,
    noise_of,
    row_weights,
    rows_of,
    warn_if_unheard,
)
from ._reliability import with_floor

MOST_CATEGORIES = 20
"""A column that is not a number is profiled if it has at most so many different values."""


def expert_report(model, X, y, *, sample_weight=None, n_features=3):
    """One row per expert: its rows, its error on them, its calibration, its segment.

    Rows count for the expert that is their most probable one.

    Parameters
    ----------
    model : MixtureOfExpertsClassifier or MixtureOfExpertsRegressor
        Fitted.
    X : {array-like, frame} of shape (n_samples, n_features)
        Rows that the mixture was not trained on: on its own, an expert that memorises looks
        better than it is.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
    sample_weight : array-like of shape (n_samples,), default=None
        A weight of 2 is the row twice, of 0 the row absent.
    n_features : int, default=3
        Features named in ``segment``.

    Returns
    -------
    report : pandas.DataFrame
        Indexed by expert; it prints all of its columns. NaN where there are no rows to measure
        on. Where a shared expert has a part in the prediction, the last line is its: no rows of
        its own, its weight as mass, and the error of the whole on all rows. Columns:

        - ``rows``: number of rows, or sum of their weights;
        - ``mass``: mean gate probability over all rows, with the part of a shared expert
          taken off;
        - ``error``: of the expert on its rows: root mean squared error, or log-loss (of several
          outputs the mean);
        - ``error_mixture``: of the whole mixture on the same rows;
        - ``error_elsewhere``: of the expert on the rows of the others: much larger if it is a
          specialist;
        - ``calibration``: of a regression expert the median of its absolute errors relative to
          the median that its ``scale_`` promises, 1 if calibrated, above 1 if it is too sure. (A
          median, since a few rows that belong to another expert would be most of a mean: for
          those see ``error``.) Of a classification expert its
          mean confidence minus its accuracy, 0 if calibrated, above 0 if it is too sure;
        - ``segment``: the features that set its rows apart, largest difference first, as in
          `segment_profile`.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.datasets import make_piecewise_regression
    >>> from skmoe.inspection import expert_report
    >>> X, y = make_piecewise_regression(600, return_X_y=True, random_state=0)
    >>> moe = MixtureOfExpertsRegressor(
    ...     Ridge(), n_experts=3, overlap=0.0, random_state=0
    ... )
    >>> report = expert_report(moe.fit(X[:400], y[:400]), X[400:], y[400:])
    >>> bool((report["error"] < report["error_elsewhere"]).all())
    True
    """
    pd = import_pandas("expert_report")
    from ._wide_frame import WideFrame

    check_mixture(model)
    X = rows_of(X)
    top, proba = model.apply(X), model.gate_proba(X)
    shared_weight = model.route(X).shared_weight
    weights = row_weights(sample_weight, len(top))
    measures = classification_errors if is_classifier(model) else regression_errors
    own = np.where(top == np.arange(model.n_experts_)[:, np.newaxis], weights, 0)
    errors, mixture, calibration = measures(model, X, y, own)
    profile = profile_of(model, X, sample_weight)
    report = {
        "rows": own.sum(axis=1),
        "mass": (1 - shared_weight) * np.average(proba, axis=0, weights=weights),
        "error": [mean_of(errors[k], own[k], model) for k in range(len(own))],
        "error_mixture": [mean_of(mixture, rows, model) for rows in own],
        "error_elsewhere": [mean_of(errors[k], weights - own[k], model) for k in range(len(own))],
        "calibration": calibration,
        "segment": segments(profile, n_features),
    }
    index = pd.Index(list(model.named_experts_), name="expert")
    report = WideFrame({name: np.asarray(values) for name, values in report.items()}, index)
    if shared_weight:
        of_all = mean_of(mixture, weights, model)
        line = [0, shared_weight, np.nan, of_all, np.nan, np.nan, ""]
        report.loc["(shared part)"] = line
    return report


def segment_profile(model, X, *, sample_weight=None, units="deviations"):
    """How the rows of each expert differ from those of the others, feature by feature.

    Parameters
    ----------
    model : MixtureOfExpertsClassifier or MixtureOfExpertsRegressor
        Fitted.
    X : {array-like, frame} of shape (n_samples, n_features)
    sample_weight : array-like of shape (n_samples,), default=None
        A weight of 2 is the row twice, of 0 the row absent.
    units : {"deviations", "original"}, default="deviations"
        Of the differences: standard deviations of the feature, or those of the feature itself.

    Returns
    -------
    profile : pandas.DataFrame
        One row per expert, one column per feature: the mean of its rows (those of which it is
        the most probable expert) minus the mean of the others, in `units`. A column that is not
        a number has one column per value, such as ``town=York``, if there are at most 20.
        NaN where an expert has no rows, or all of them.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sklearn.linear_model import Ridge
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.inspection import segment_profile
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame(rng.normal(size=(400, 2)), columns=["season", "size"])
    >>> y = np.where(X["season"] > 0, X["size"], -X["size"])
    >>> moe = MixtureOfExpertsRegressor(
    ...     Ridge(), n_experts=2, n_init=3, random_state=0
    ... ).fit(X, y)
    >>> profile = segment_profile(moe, X)
    >>> bool(
    ...     (profile["season"].abs() > 1).all()
    ...     and (profile["size"].abs() < 0.3).all()
    ... )
    True
    """
    check_mixture(model)
    if units not in ("deviations", "original"):
        raise ValueError(f"units={units!r} must be 'deviations' or 'original'")
    import_pandas("segment_profile")  # says what is missing before any row is looked at
    X = rows_of(X)
    warn_if_unheard(model, X, "segment_profile")
    return profile_of(model, X, sample_weight, units)


def profile_of(model, X, sample_weight, units="deviations"):
    """The profile of `segment_profile`, of checked rows."""
    pd = import_pandas("segment_profile")
    top = model.apply(X)
    weights = row_weights(sample_weight, len(top))
    columns = numeric_columns(X, feature_names(model))
    profile = {
        name: [
            difference(values, top == k, weights, units == "deviations")
            for k in range(model.n_experts_)
        ]
        for name, values in columns.items()
    }
    return pd.DataFrame(profile, index=pd.Index(list(model.named_experts_), name="expert"))


def numeric_columns(X, names):
    """Columns of X as numbers by name; of other columns an indicator per value."""
    if hasattr(X, "columns"):
        arrays = [np.asarray(X[name]) for name in X.columns]
    else:
        X = X.toarray() if hasattr(X, "toarray") else X
        arrays = list(X.T)
    columns = {}
    for name, array in zip(names, arrays, strict=True):
        if array.dtype.kind == "M":  # time
            array = np.where(np.isnat(array), np.nan, array.astype("datetime64[s]").astype(float))
        numbers = as_numbers(array)
        if numbers is not None:
            columns[name] = numbers
            continue
        values = sorted({str(value) for value in array})
        if len(values) <= MOST_CATEGORIES:
            text = array.astype(str)
            columns.update({f"{name}={value}": (text == value).astype(float) for value in values})
    return columns


def difference(values, own, weights, standardised):
    """Mean of some rows minus that of the others, in standard deviations or as it is.

    NaN if undefined.
    """
    there = ~np.isnan(values) & (weights > 0)
    values, own, weights = values[there], own[there], weights[there]
    if own.all() or not own.any():
        return np.nan
    inside = np.average(values[own], weights=weights[own])
    outside = np.average(values[~own], weights=weights[~own])
    if not standardised:
        return float(inside - outside)
    centred = values - np.average(values, weights=weights)
    spread = np.sqrt(np.average(np.square(centred), weights=weights))
    return float((inside - outside) / spread) if spread > 0 else 0.0


def segments(profile, n_features):
    """The largest differences of each expert in words: ``season +1.6, size -0.2``."""
    texts = []
    for _, row in profile.iterrows():
        largest = row.dropna().abs().sort_values(ascending=False, kind="stable").index[:n_features]
        texts.append(", ".join(f"{name} {row[name]:+.1f}" for name in largest))
    return texts


def classification_errors(model, X, y, own):
    """Log-losses (K, n) of the experts and (n,) of the mixture; confidence minus accuracy.

    `own` are the weights (K, n) of the rows of each expert, 0 for those of others. Of several
    outputs they are the means.
    """
    outputs = model.predict_experts(X)
    y, proba = check_target(model, y, outputs), model.predict_proba(X)
    if not has_several_classes(model):
        return of_one_output(outputs, model.floor_, model.classes_, y, proba, own)
    ends = np.cumsum([len(classes) for classes in model.classes_])
    columns = np.split(outputs, ends[:-1], axis=2)
    several = zip(columns, model.floor_.T, model.classes_, y.T, proba, strict=True)
    figures = [of_one_output(*output, own) for output in several]
    return tuple(np.mean(figure, axis=0) for figure in zip(*figures, strict=True))


def of_one_output(outputs, floor, classes, y, mixed, own):
    """The figures of `classification_errors`, of probabilities (n, K, C) and (n, C)."""
    codes, rows = np.searchsorted(classes, y), np.arange(len(y))
    errors, calibration = [], []
    for k, of_expert in enumerate(own):
        proba = with_floor(outputs[:, k], floor[k])
        errors.append(-np.log(proba[rows, codes]))
        sure = proba.max(axis=1) - (proba.argmax(axis=1) == codes)
        calibration.append(average(sure, of_expert))
    return np.array(errors), -np.log(mixed[rows, codes]), calibration


def regression_errors(model, X, y, own):
    """Squared errors (K, n) of the experts and (n,) of the mixture; errors over scales.

    `own` are the weights (K, n) of the rows of each expert, 0 for those of others.
    """
    outputs = model.predict_experts(X)
    y = check_target(model, y, outputs)
    shape = (len(y), -1)
    errors, calibration = [], []
    for k, of_expert in enumerate(own):
        residual = (y - outputs[:, k]).reshape(shape)
        errors.append(np.square(residual).mean(axis=1))
        relative = np.abs(residual / model.scale_[k])
        calibration.append(median(relative, of_expert) / noise_of(model).ppf(0.75))
    mixture = np.square((y - model.predict(X)).reshape(shape)).mean(axis=1)
    return np.array(errors), mixture, calibration


def mean_of(errors, weights, model):
    """Mean log-loss, or root mean squared error, of weighted rows."""
    mean = average(errors, weights)
    return mean if is_classifier(model) else np.sqrt(mean)


def median(values, weights):
    """Weighted median of (n, m) values of rows, NaN without any weight."""
    if not weights.any():
        return np.nan
    order = np.argsort(values, axis=None)
    reached = np.cumsum(np.repeat(weights, values.shape[1])[order])
    return float(values.ravel()[order][np.searchsorted(reached, reached[-1] / 2)])


def average(values, weights):
    """Weighted mean, NaN without any weight."""
    return float(np.average(values, weights=weights)) if weights.any() else np.nan
