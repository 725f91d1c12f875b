"""Golden rows: a few rows and what the model said of them when it was saved.

They are part of the manifest, so that everybody can read them, and are replayed when the model is
loaded: what hashes cannot see, a library that computes something else than it did, shows there.
"""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from joblib import parallel_config
from sklearn.base import is_classifier
from sklearn.utils import Bunch

from ._errors import BundleWarning, GoldenRowsError
from ._lazy import stand_in
from ._rows import (
    first_rows,
    numbers_from_record,
    numbers_to_record,
    rows_from_record,
    rows_to_record,
)
from ._state import is_mixture

N_ROWS = 5
"""So many rows are kept of those that are given, or made up if none are."""

MAX_INVENTED_FEATURES = 1000
"""With more features, made-up rows would make the manifest large for little."""

TOLERANCE = 1e-6
"""Largest difference from the saved predictions, relative to the largest of them."""

INVENTED = "made up"

GIVEN = "given"


def golden_record(model: Any, rows: Any) -> dict[str, Any] | None:
    """Choose golden rows and record what the model says of them.

    Parameters
    ----------
    model : fitted mixture
    rows : array-like, sparse matrix, frame, None or False
        None makes rows up; False means that there shall be none.

    Returns
    -------
    record : dict or None
        Plain values; None if there are no golden rows. A warning says so unless it was asked for.

    Raises
    ------
    ValueError
        If there are no rows, or they hold what the manifest cannot.
    Exception
        Whatever the model raises for rows that it cannot take.
    """
    if rows is False:
        return None
    if rows is not None:
        return recorded(model, first_rows(rows, N_ROWS), GIVEN)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return recorded(model, invented_rows(model), INVENTED)
    except MemoryError:
        raise
    except Exception as error:  # an estimator that takes no such rows may raise anything
        warnings.warn(
            "the bundle has no golden rows, since the model does not take made-up numbers "
            f"({type(error).__name__}: {error}); pass some real rows as golden_rows=, or "
            "golden_rows=False to do without",
            BundleWarning,
            stacklevel=4,
        )
        return None


def recorded(model: Any, X: Any, source: str) -> dict[str, Any]:
    """Rows, and what the model says of them as they will be when they are read.

    A frame that is built anew may lie otherwise in memory, and then sums differ in the last bit.
    """
    record = rows_to_record(X)
    return {"source": source, "rows": record, **answers(model, rows_from_record(record))}


def invented_rows(model: Any) -> Any:
    """Random numbers around the means of the features where the gate knows them.

    Raises
    ------
    ValueError
        If there are too many features.
    """
    n_features = model.n_features_in_
    if n_features > MAX_INVENTED_FEATURES:
        raise ValueError(f"{n_features} features are too many to make up")
    centre = getattr(getattr(model, "gate_", None), "feature_means_", ())
    if len(centre) != n_features:  # the gate sees other columns, or does not say
        centre = np.zeros(n_features)
    noise = np.random.RandomState(0).normal(size=(N_ROWS, n_features))
    # Three decimals are enough, and are read and stored easily.
    X = np.round(centre + np.maximum(np.abs(centre), 1.0) * noise, 3)
    names = getattr(model, "feature_names_in_", None)
    if names is None:
        return X
    library = "pandas" if importlib.util.find_spec("pandas") else "polars"
    return importlib.import_module(library).DataFrame(dict(zip(names, X.T, strict=True)))


class Overheard:
    """Stands in for an expert that the mixture asks, and asks it once about all rows.

    To predict is the larger part of the work with golden rows: what the mixture has asked need
    not be asked again.

    Parameters
    ----------
    expert : fitted estimator
    n_rows : int
        A mixture that routes rows asks some experts about fewer.
    """

    def __init__(self, expert: Any, n_rows: int) -> None:
        self.expert = expert
        self.n_rows = n_rows
        self.answer: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.expert, name)

    def predict(self, X: Any) -> Any:
        """Prediction of a regressor."""
        return self._once(X, self.expert.predict)

    def predict_proba(self, X: Any) -> Any:
        """Class probabilities of a classifier."""
        return self._once(X, self.expert.predict_proba)

    def _once(self, X: Any, ask: Callable[[Any], Any]) -> Any:
        if X.shape[0] != self.n_rows:
            return ask(X)
        if self.answer is None:
            self.answer = ask(X)
        return self.answer


def answers(model: Any, X: Any) -> dict[str, Any]:
    """Predictions of a mixture with their quantiles, its gate, and each of its experts.

    Of other models only the predictions.
    """
    if not is_mixture(type(model)):
        with parallel_config(backend="sequential"):
            return {"predictions": numbers_to_record(mixture_answer(model, X)), "experts": []}
    overheard = asking_once(model, X.shape[0])
    with parallel_config(backend="sequential"):
        predictions = mixture_answer(overheard, X)
        experts = [
            expert_answer(each.expert, is_classifier(model), X)
            if each.answer is None
            else side_by_side(each.answer)
            for each in overheard.experts_
        ]
        record = {
            "predictions": numbers_to_record(predictions),
            "gate_proba": numbers_to_record(model.gate_proba(X)),
            "experts": [numbers_to_record(answer) for answer in experts],
        }
        if not is_classifier(model):
            record["quantiles"] = numbers_to_record(overheard.predict_quantiles(X))
        return record


def asking_once(model: Any, n_rows: int) -> Any:
    """A copy of the mixture that asks each expert once about rows of this number."""
    asked = {
        name: stand_in(Overheard, type(expert).__name__)(expert, n_rows)
        for name, expert in model.named_experts_.items()
    }
    overheard = copy.copy(model)
    overheard.experts_, overheard.named_experts_ = list(asked.values()), Bunch(**asked)
    return overheard


def mixture_answer(model: Any, X: Any) -> Any:
    """Class probabilities of classifiers, or class codes without; predictions of others."""
    if not is_classifier(model):
        return model.predict(X)
    if hasattr(model, "predict_proba"):
        return side_by_side(model.predict_proba(X))
    return np.searchsorted(model.classes_, model.predict(X))


def side_by_side(proba: Any) -> Any:
    """Probabilities, of several outputs in one array."""
    return np.hstack(proba) if isinstance(proba, list) else proba


def expert_answer(expert: Any, classifier: bool, X: Any) -> Any:
    """Answer of one expert alone, in its own order of classes."""
    return side_by_side(expert.predict_proba(X)) if classifier else expert.predict(X)


def replay(model: Any, record: dict[str, Any], whole: bool) -> float:
    """Ask the loaded model about the golden rows again.

    Parameters
    ----------
    model : fitted mixture
    record : dict
        As `golden_record` made it.
    whole : bool
        Whether to ask the whole mixture, which needs its experts, or the gate only.

    Returns
    -------
    difference : float
        The largest, relative to the largest saved answer; 0 if all are the same to the last bit.

    Raises
    ------
    GoldenRowsError
        If an answer has moved by more than the tolerance, or there is none.
    """
    with quiet_if(record["source"] == INVENTED), parallel_config(backend="sequential"):
        try:
            X = rows_from_record(record["rows"])
            moved = 0.0
            if "gate_proba" in record:
                moved = difference(record["gate_proba"], model.gate_proba(X))
            if whole or "gate_proba" not in record:
                if "quantiles" in record:
                    model = asking_once(model, X.shape[0])
                answer = mixture_answer(model, X)
                moved = max(moved, difference(record["predictions"], answer))
                if "quantiles" in record:  # not so of classifiers, and before there were any
                    answer = model.predict_quantiles(X)
                    moved = max(moved, difference(record["quantiles"], answer))
        except ImportError:
            raise
        except MemoryError:
            raise
        except Exception as error:
            raise GoldenRowsError(
                f"the loaded model does not answer for the golden rows ({type(error).__name__}: "
                f"{error}). {ADVICE}"
            ) from error
    return within_tolerance(moved, "the loaded model")


def replay_expert(expert: Any, number: int, classifier: bool, record: dict[str, Any]) -> None:
    """Ask one expert about the golden rows again; errors as in `replay`."""
    with quiet_if(record["source"] == INVENTED), parallel_config(backend="sequential"):
        try:
            X = rows_from_record(record["rows"])
            answer = expert_answer(expert, classifier, X)
            moved = difference(record["experts"][number], answer)
        except MemoryError:
            raise
        except Exception as error:
            raise GoldenRowsError(
                f"expert {number} does not answer for the golden rows ({type(error).__name__}: "
                f"{error}). {ADVICE}"
            ) from error
    within_tolerance(moved, f"expert {number}")


ADVICE = (
    "Load it with the versions that read_manifest() lists, and save it anew from there or train "
    "it again"
)


def within_tolerance(moved: float, who: str) -> float:
    """Return a difference that may be; raise `GoldenRowsError` for one that may not."""
    if not moved <= TOLERANCE:
        raise GoldenRowsError(
            f"for the golden rows {who} predicts something else than the saved one did: the "
            f"answers differ by {moved:.1e} of the largest, {TOLERANCE:.0e} is allowed. {ADVICE}"
        )
    return moved


@contextlib.contextmanager
def quiet_if(quiet: bool) -> Iterator[None]:
    """Suppress warnings about made-up rows, which are nobody's concern."""
    with warnings.catch_warnings():
        if quiet:
            warnings.simplefilter("ignore")
        yield


def difference(saved: dict[str, Any], now: Any) -> float:
    """Largest difference relative to the largest saved value; infinite if shapes differ."""
    before, after = numbers_from_record(saved), np.asarray(now, dtype=np.float64)
    if before.shape != after.shape or not np.array_equal(np.isnan(before), np.isnan(after)):
        return float("inf")
    if np.array_equal(before, after, equal_nan=True):
        return 0.0
    with np.errstate(invalid="ignore"):
        apart = np.abs(before - after)[before != after]
        scale = np.max(np.abs(before[np.isfinite(before)]), initial=0.0)
    return float(np.max(apart[~np.isnan(apart)], initial=0.0) / (scale or 1.0))
