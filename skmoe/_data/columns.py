"""What the gate sees: which columns, and how those are encoded that are not numbers."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing, check_array
from sklearn.utils._indexing import _get_column_indices

from .._compat import Record
from .encoding import encoding_of, is_numeric, values_of
from .protection import protected
from .rows import is_finite, is_frame

REMEDIES = (
    "choose columns with gate_features=, or give a gate that encodes them first: a Pipeline, "
    "which may end in SoftmaxGate()"
)
"""What to do about columns that a gate cannot take."""


@dataclass(frozen=True, eq=False)
class GateColumns(Record):
    """The columns that a gate sees, and how it sees them; learned once, from the training rows.

    Numbers and booleans are seen as they are; a category of few levels as one column per level,
    and one for missing values if there were some; a date as time, and as sine and cosine of its
    place in the year, the week and, if it has a time of day, the day. Text, and categories of many
    levels, are left to the experts.

    Attributes
    ----------
    names : tuple of str
        The columns that were chosen.
    positions : ndarray of intp, or None
        Their places in X; None means all.
    encodings : tuple, or None
        How each is encoded, None for one that the gate does not see. None in place of the tuple
        means that X is handed on as it is.

    Examples
    --------
    >>> import pandas as pd
    >>> from skmoe.fitted import GateColumns
    >>> X = pd.DataFrame(
    ...     {"age": [22.0, 38.0, None, 35.0], "sex": ["m", "f", "f", "m"]}
    ... )
    >>> columns = GateColumns.of(X, None, encode=True)
    >>> columns
    GateColumns(age: numbers; sex: one of 2 levels)
    >>> columns.get_feature_names_out().tolist()
    ['age', 'sex=f', 'sex=m']
    >>> columns.transform(X)
    array([[22.,  0.,  1.],
           [38.,  1.,  0.],
           [nan,  1.,  0.],
           [35.,  0.,  1.]])
    """

    names: tuple[str, ...]
    positions: np.ndarray | None
    encodings: tuple[Any, ...] | None

    @classmethod
    def of(cls, X, gate_features, *, encode) -> GateColumns:
        """Choose columns, and how to encode them.

        Parameters
        ----------
        X : array, sparse matrix or frame of shape (n_samples, n_features)
            Training rows.
        gate_features : None, str, int, list, slice, boolean mask or callable
            As in `ColumnTransformer`; None means all that can be encoded.
        encode : bool
            Whether the gate takes numbers only. If all columns are numbers, nothing is encoded.

        Returns
        -------
        columns : GateColumns

        Raises
        ------
        ValueError
            If `gate_features` does not fit X, if it chooses a column that cannot be encoded, or
            if no column can be.
        """
        positions = chosen_positions(X, gate_features)
        as_they_are = cls.as_they_are(column_names(X), positions)
        if not encode or _holds_numbers_only(as_they_are.transform(X)):
            return as_they_are
        names = as_they_are.names
        chosen = range(len(names)) if positions is None else positions
        encodings = tuple(encoding_of(_column(X, position)) for position in chosen)
        refused = [name for name, each in zip(names, encodings, strict=True) if each is None]
        if refused and (gate_features is not None or len(refused) == len(names)):
            raise ValueError(
                f"the gate cannot take the columns {refused}: they are text, or categories of "
                f"many levels; {REMEDIES}"
            )
        return cls(names, positions, encodings)

    @classmethod
    def as_they_are(cls, names, positions) -> GateColumns:
        """Columns that are handed on as they are.

        Parameters
        ----------
        names : sequence of str
            Of all columns.
        positions : ndarray of intp, or None
            Of those that the gate sees.
        """
        chosen = range(len(names)) if positions is None else positions
        return cls(tuple(str(names[position]) for position in chosen), positions, None)

    @property
    def seen(self) -> np.ndarray:
        """Positions in X of the columns that the gate sees, ascending if all were chosen."""
        positions = np.arange(len(self.names)) if self.positions is None else self.positions
        if self.encodings is None:
            return positions
        return positions[[encoding is not None for encoding in self.encodings]]

    def get_feature_names_out(self, input_features=None) -> np.ndarray:
        """Names of the features that the gate sees.

        Parameters
        ----------
        input_features : object
            Ignored; here for consistency with transformers.

        Returns
        -------
        names : ndarray of str, of shape (n_gate_features,)
        """
        if self.encodings is None:
            return np.array(self.names, dtype=object)
        pairs = zip(self.names, self.encodings, strict=True)
        names = [encoding.names(name) for name, encoding in pairs if encoding is not None]
        return np.array(sum(names, []), dtype=object)

    def transform(self, X):
        """The features of the gate.

        Parameters
        ----------
        X : array, sparse matrix or frame of shape (n_samples, n_features)

        Returns
        -------
        Z : ndarray of shape (n_samples, n_gate_features), float64
            Or the chosen columns as they are, if nothing is encoded.

        Raises
        ------
        ValueError
            If a column holds what it did not in training: text where there were numbers.
        """
        if self.encodings is None:
            chosen = X if self.positions is None else _safe_indexing(X, self.positions, axis=1)
            return protected(chosen)
        places = range(len(self.names)) if self.positions is None else self.positions
        blocks = []
        for name, place, encoding in zip(self.names, places, self.encodings, strict=True):
            if encoding is None:
                continue
            try:
                blocks.append(encoding.encode(values_of(_column(X, place))))
            except (ValueError, TypeError) as error:
                raise ValueError(f"the gate cannot take column {name!r}: {error}") from error
        return np.hstack(blocks)

    def __repr__(self) -> str:
        if self.encodings is None:
            return f"GateColumns({', '.join(self.names)})"
        pairs = zip(self.names, self.encodings, strict=True)
        told = "; ".join(
            f"{name}: {encoding or 'left to the experts'}" for name, encoding in pairs
        )
        return f"GateColumns({told})"


@dataclass(frozen=True, eq=False)
class NumericView(Record):
    """The numbers that a gate learns from: what its own preprocessing makes, encoded if need be.

    Attributes
    ----------
    steps : fitted Pipeline or None
        All steps of a gate but the last.
    columns : GateColumns
    """

    steps: Any
    columns: GateColumns

    @classmethod
    def fit(cls, gate, Z, y) -> tuple[NumericView | None, Any]:
        """The view, and what it shows of the training rows.

        Parameters
        ----------
        gate : unfitted gate
        Z : array-like, sparse matrix or frame of shape (n_samples, n_gate_features)
        y : array-like
            For preprocessing that looks at a target.

        Returns
        -------
        view : NumericView or None
            None if Z is numbers already.
        features : ndarray or CSR matrix of shape (n_samples, n_columns), float64
            NaN where missing.

        Raises
        ------
        ValueError
            If there are no numbers, or if a step of the gate cannot take these columns.
        """
        model = getattr(gate, "estimator", gate)  # a classifier may be wrapped
        steps = None
        if isinstance(model, Pipeline) and len(model) > 1:
            steps = clone(model[:-1])
            with naming_remedies(Z):
                Z = steps.fit_transform(protected(Z), y)
        columns = GateColumns.of(Z, None, encode=True)
        view = None if steps is None and columns.encodings is None else cls(steps, columns)
        return view, _as_matrix(columns.transform(Z))

    def transform(self, Z):
        """The numbers of new rows, as in `fit`."""
        return _as_matrix(
            self.columns.transform(Z if self.steps is None else self.steps.transform(protected(Z)))
        )


def giving_arrays(transformer):
    """A transformer of our own, which gives arrays whatever `set_config` says of outputs."""
    return transformer.set_output(transform="default")


def numbers_of(view, Z):
    """What a view, or None where Z is numbers already, shows of rows."""
    return _as_matrix(Z) if view is None else view.transform(Z)


def _as_matrix(Z):
    if type(Z) is np.ndarray and Z.ndim == 2 and Z.dtype == np.float64 and is_finite(Z):
        return Z  # a single row feels the rest
    return check_array(
        Z,
        accept_sparse="csr",
        dtype=np.float64,
        ensure_all_finite="allow-nan",
        ensure_min_samples=0,
        input_name="X",
    )


@contextmanager
def naming_remedies(X):
    """Say what to do if a gate raises because of columns that are not numbers.

    Parameters
    ----------
    X : array, sparse matrix or frame
        What the gate was given.

    Raises
    ------
    ValueError
        If the block raises one, or a TypeError, and such columns are there.
    """
    try:
        yield
    except (ValueError, TypeError) as error:
        if _holds_numbers_only(X):
            raise
        raise ValueError(
            f"the gate cannot take the columns {not_numbers(X)} as they are: {error}; {REMEDIES}"
        ) from error


def not_numbers(X):
    """Names of the columns of a frame, or of an array of objects, that are not numbers."""
    if is_frame(X):
        pairs = zip(X.columns, X.dtypes, strict=True)
        return [str(name) for name, dtype in pairs if not is_numeric(dtype)]
    return column_names(X) if np.asarray(X).dtype.kind not in "biuf" else []


def column_names(X):
    """Names of the columns of a frame; x0, x1, ... of an array."""
    if is_frame(X):
        return [str(name) for name in X.columns]
    return names_of_array(X.shape[1])


def names_of_array(n_columns):
    """Names of columns that have none."""
    return [f"x{position}" for position in range(n_columns)]


def chosen_positions(X, gate_features):
    """Positions of the columns that the gate sees.

    Parameters
    ----------
    X : array, sparse matrix or frame of shape (n_samples, n_features)
    gate_features : None, str, int, list, slice, boolean mask or callable
        As in `ColumnTransformer`; None means all.

    Returns
    -------
    positions : ndarray of int or None

    Raises
    ------
    ValueError
        If that does not fit X, or selects no column.
    """
    if callable(gate_features):
        gate_features = gate_features(X)
    if gate_features is None:
        return None
    try:
        positions = np.asarray(_get_column_indices(X, gate_features), dtype=np.intp)
    except (ValueError, IndexError, KeyError) as error:
        given = list(X.columns) if is_frame(X) else f"{X.shape[1]} columns"
        raise ValueError(f"gate_features={gate_features!r}: {error}; X has {given}") from error
    if len(positions) == 0:
        raise ValueError(
            f"gate_features={gate_features!r} selects no column; "
            "give None to let the gate see all of them"
        )
    return positions


def _holds_numbers_only(X):
    if issparse(X):
        return True
    if is_frame(X):
        return all(is_numeric(dtype) for dtype in X.dtypes)
    return getattr(X, "dtype", np.asarray(X).dtype).kind in "biuf"


def _column(X, position):
    """One column; of an array that holds strings or objects as numbers if it can be."""
    if is_frame(X):
        return _safe_indexing(X, int(position), axis=1)
    column = np.asarray(X)[:, position]
    try:
        return column if column.dtype.kind in "mM" else column.astype(np.float64)
    except (ValueError, TypeError):
        return column
