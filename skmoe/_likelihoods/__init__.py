"""How an expert's output becomes a density of the target.

A likelihood is a small stateless object. What it learns, one *dispersion* per expert (the
floor of a classifier, the noise scale of a regressor), is passed in and returned.

Shapes used throughout: n rows, K experts, C classes, m outputs.
"""

from .base import Likelihood
from .classes import MIN_FLOOR, Categorical, CategoricalOutputs
from .noise import REGRESSION_LIKELIHOODS, Gaussian, Laplace, regression_likelihood

__all__ = [
    "MIN_FLOOR",
    "REGRESSION_LIKELIHOODS",
    "Categorical",
    "CategoricalOutputs",
    "Gaussian",
    "Laplace",
    "Likelihood",
    "regression_likelihood",
]
