"""What a linear expert says, in the units of the features, through scalers and encoders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier
from sklearn.compose import ColumnTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    RobustScaler,
    StandardScaler,
)

from ._mixture import check_mixture, check_one_target, feature_names


class NamelessColumnsError(TypeError):
    """A linear model of columns that have no names has no equation that one could read."""


class Term(NamedTuple):
    """A column that a linear model sees: ``(x - shift) / scale`` of something that has a name."""

    name: str
    shift: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True)
class Equation:
    """A linear model of one outcome.

    Attributes
    ----------
    outcome : str
        What it is equal to.
    terms : tuple of str
        Features; of a category ``town=York``, which is 1 or 0.
    intercept : float
    coef : tuple of float
        In the units of the features.
    intercept_error : float
        Standard error; NaN if unknown.
    coef_error : tuple of float
        Standard errors; NaN if unknown.
    """

    outcome: str
    terms: tuple[str, ...]
    intercept: float
    coef: tuple[float, ...]
    intercept_error: float = np.nan
    coef_error: tuple[float, ...] = ()

    def __str__(self):
        text = f"{self.outcome} = {self.intercept:.4g}"
        for name, value in zip(self.terms, self.coef, strict=True):
            if value != 0:
                text += f" {'-' if value < 0 else '+'} {abs(value):.4g} {name}"
        return text


def equation(model, expert):
    """What a linear expert says, as text, in the units of the features.

    Parameters
    ----------
    model : MixtureOfExpertsClassifier or MixtureOfExpertsRegressor
        Fitted.
    expert : str
        Its name.

    Returns
    -------
    text : str
        One line, or one for each output, or for each class of three or more. Of a classifier it
        is the log-odds (of three or more classes, the logit of each).

    Raises
    ------
    ValueError
        If there is no such expert.
    TypeError
        If it is not linear.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sklearn.linear_model import LinearRegression
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.inspection import equation
    >>> X = pd.DataFrame({"size": np.arange(100.0)})
    >>> moe = MixtureOfExpertsRegressor([("all", LinearRegression())]).fit(
    ...     X, 3 * X["size"] + 1
    ... )
    >>> equation(moe, "all")
    'y = 1 + 3 size'
    """
    check_mixture(model)
    check_one_target(model, "equation")
    if expert not in model.named_experts_:
        raise ValueError(f"{expert!r} is none of the experts {list(model.named_experts_)}")
    return "\n".join(str(each) for each in equations_of(model, model.named_experts_[expert]))


def equations_of(model, expert, X=None, scale=np.nan):
    """The equations of an expert, one an output; with standard errors if there are rows.

    Parameters
    ----------
    model : fitted mixture
    expert : fitted estimator
        One of its experts.
    X : frame or array of shape (n_samples, n_features), default=None
        The rows that it answers for.
    scale : float or ndarray of shape (n_outputs,), default=NaN
        Standard deviation of the noise.

    Returns
    -------
    equations : list of Equation
    """
    steps, last = taken_apart(expert)
    if not is_linear_model(last):
        raise TypeError(
            f"only a linear expert has an equation, such as Ridge() or LogisticRegression(), also "
            f"in a Pipeline; this one is {last!r}"
        )
    coef = np.atleast_2d(last.coef_.toarray() if hasattr(last.coef_, "toarray") else last.coef_)
    intercept = np.broadcast_to(np.ravel(last.intercept_), len(coef))
    terms = [Term(name) for name in feature_names(model)]
    for step in steps:
        terms = terms_after(step, terms)
    scales = np.broadcast_to(np.ravel(scale), len(coef))
    design = None if X is None else design_matrix(steps, X)
    known = [
        covariance(last, design, slopes, constant, noise)
        for slopes, constant, noise in zip(coef, intercept, scales, strict=True)
    ]
    parts = zip(outcomes(last, len(coef)), coef, intercept, known, strict=True)
    # Of a column that is the same in all rows they tell nothing; a penalty makes it look precise.
    idle = np.zeros(len(terms), bool) if design is None else np.ptp(design[:, 1:], axis=0) == 0
    return [in_units(outcome, terms, idle, *part) for outcome, *part in parts]


def is_linear_model(model):
    """Whether a fitted model has the coefficients of an equation."""
    return hasattr(model, "coef_") and hasattr(model, "intercept_")


def taken_apart(expert):
    """The transformers of an expert, and the model that they lead to."""
    if isinstance(expert, FrozenEstimator):
        return taken_apart(expert.estimator)
    if not isinstance(expert, Pipeline):
        return [], expert
    steps, last = taken_apart(expert.steps[-1][1])
    return [*(step for _, step in expert.steps[:-1]), *steps], last


def outcomes(model, n_outputs):
    """What the equations of a model are equal to."""
    if is_classifier(model):
        if n_outputs == 1:
            return [f"log-odds of {model.classes_[1]}"]
        return [f"logit of {label}" for label in model.classes_]
    return ["y"] if n_outputs == 1 else [f"y{output}" for output in range(n_outputs)]


def terms_after(step, terms):
    """The columns that a fitted transformer makes of some."""
    if step is None or isinstance(step, str):  # "passthrough"
        return terms
    if isinstance(step, Pipeline):
        for _, inner in step.steps:
            terms = terms_after(inner, terms)
        return terms
    if isinstance(step, ColumnTransformer):
        return _side_by_side(step, terms)
    if isinstance(step, FunctionTransformer) and step.func is None:
        return terms
    if isinstance(step, OneHotEncoder) and step.drop is None and not _groups_rare(step):
        values = zip(terms, step.categories_, strict=True)
        return [Term(f"{term.name}={value}") for term, of in values for value in of]
    affine = _affine(step)
    if affine is not None:
        shift, scale = (np.broadcast_to(each, len(terms)) for each in affine)
        return [
            Term(term.name, term.shift + by * term.scale, term.scale * unit)
            for term, by, unit in zip(terms, shift, scale, strict=True)
        ]
    return _named_by(step, terms)


def _groups_rare(encoder):
    return encoder.min_frequency is not None or encoder.max_categories is not None


def _affine(scaler):
    """Shift and scale of a scaler; None of another transformer."""
    if isinstance(scaler, StandardScaler):
        shift = scaler.mean_ if scaler.with_mean else 0.0
        return shift, scaler.scale_ if scaler.with_std else 1.0
    if isinstance(scaler, RobustScaler):
        return (
            scaler.center_ if scaler.with_centering else 0.0,
            scaler.scale_ if scaler.with_scaling else 1.0,
        )
    if isinstance(scaler, MinMaxScaler) and not scaler.clip:
        return -scaler.min_ / scaler.scale_, 1.0 / scaler.scale_
    return (0.0, scaler.scale_) if isinstance(scaler, MaxAbsScaler) else None


def _side_by_side(step, terms):
    """Columns of a ColumnTransformer, in its order."""
    made = [Term("")] * max(part.stop for part in step.output_indices_.values())
    positions = np.arange(len(terms))
    by_name = {term.name: position for position, term in enumerate(terms)}
    for name, transformer, columns in step.transformers_:
        part = step.output_indices_[name]
        if part.start == part.stop:  # dropped, or without columns
            continue
        columns = [columns] if isinstance(columns, str) else columns
        named = not isinstance(columns, slice) and isinstance(next(iter(columns)), str)
        chosen = [by_name[each] for each in columns] if named else positions[columns].tolist()
        made[part] = terms_after(transformer, [terms[position] for position in chosen])
    return made


def _named_by(step, terms):
    """Columns of another transformer, by the names that it has for them."""
    names = np.array([term.name for term in terms], dtype=object)
    try:
        made = step.get_feature_names_out(names)
    except (AttributeError, ValueError) as error:
        raise NamelessColumnsError(f"what {step!r} makes of the features has no names") from error
    if made.tolist() == names.tolist():  # an imputer: the same columns
        return terms
    plain = all(term.shift == 0 and term.scale == 1 for term in terms)
    return [Term(str(name) if plain else f"{name} (of scaled features)") for name in made]


def design_matrix(steps, X):
    """What the last step sees of rows (n_samples, n_terms), after a column of ones."""
    for step in steps:
        X = X if step is None or isinstance(step, str) else step.transform(X)
    X = X.toarray() if hasattr(X, "toarray") else np.asarray(X)
    return np.column_stack([np.ones(len(X)), X.astype(np.float64)])


def covariance(model: Any, design: Any, slopes: Any, intercept: float, noise: float) -> Any:
    """Covariance (1 + n_terms, 1 + n_terms) of intercept and coefficients; None if unknown.

    That of penalised least squares, ``s^2 (D'D + P)^-1 D'D (D'D + P)^-1``; of a logistic model of
    two classes the same with the Hessian of its log-likelihood in place of ``D'D / s^2``.
    """
    if design is None or len(design) <= design.shape[1]:
        return None
    if isinstance(model, LogisticRegression):
        if len(model.classes_) != 2 or getattr(model, "l1_ratio", None):
            return None
        proba = 1.0 / (1.0 + np.exp(-(design[:, 1:] @ slopes + intercept)))
        hessian, penalty = (design.T * (proba * (1 - proba))) @ design, 1.0 / model.C
    elif type(model) in (LinearRegression, Ridge) and np.ndim(getattr(model, "alpha", 0)) == 0:
        hessian, penalty = design.T @ design / noise**2, getattr(model, "alpha", 0.0) / noise**2
    else:
        return None
    if not np.isfinite(hessian).all():
        return None
    ridge = np.full(design.shape[1], penalty)
    ridge[0] = 0.0
    inverse = np.linalg.pinv(hessian + np.diag(ridge), hermitian=True)
    return inverse @ hessian @ inverse


def in_units(outcome, terms, idle, slopes, intercept, cov):
    """The equation of the features from that of the scaled ones; errors of `idle` ones are NaN."""
    scale = np.array([term.scale for term in terms])
    shift = np.array([term.shift for term in terms])
    back = np.diag(np.hstack([1.0, 1.0 / scale]))
    back[0, 1:] = -shift / scale
    values = back @ np.hstack([intercept, slopes])
    errors = np.full(len(values), np.nan)
    if cov is not None:
        errors = np.sqrt(np.diag(back @ cov @ back.T).clip(min=0.0))
        errors[1:][idle] = np.nan
    names = tuple(term.name for term in terms)
    intercept, *coef = values.tolist()
    intercept_error, *coef_error = errors.tolist()
    return Equation(outcome, names, intercept, tuple(coef), intercept_error, tuple(coef_error))
