"""The objects of a bundle that are neither plain values nor arrays: joblib's pickles, or skops.

A payload is how such objects become bytes and objects again. The bytes that are given to `load`
have been verified.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

import joblib

from ._errors import ModelKindError, PayloadError, UntrustedPayloadError
from ._pickle import from_pickle_mapped, to_pickle
from ._state import is_own


class Source(NamedTuple):
    """Verified bytes of a member, and where they came from.

    Attributes
    ----------
    title : str
        For messages: the member, and what is in it.
    content : bytes
    path : str or None
        The file, if arrays in it are to be memory-mapped.
    offset : int
        Position of the member in the file.
    """

    title: str
    content: bytes
    path: str | None = None
    offset: int = 0


class Payload(Protocol):
    """One way to write objects."""

    suffix: str

    def dump(self, value: Any, title: str) -> list[bytes]:
        """Bytes of an object, in pieces."""

    def check_trust(self, contents: dict[str, bytes]) -> None:
        """Refuse members that need more trust than was granted, before one is loaded."""

    def load(self, source: Source, mmap_mode: str | None = None) -> Any:
        """Object of verified bytes."""


class JoblibPayload:
    """Pickles, written and read by joblib.

    Parameters
    ----------
    trusted : None, bool or list
        None and True load pickles.
    """

    suffix = "joblib"

    def __init__(self, trusted: Any = None) -> None:
        self.trusted = trusted

    def dump(self, value: Any, title: str) -> list[bytes]:
        """Bytes of a pickle, in pieces.

        Raises
        ------
        ModelKindError
            If the object cannot be pickled.
        """
        try:
            return to_pickle(value)
        except MemoryError:
            raise
        except Exception as error:
            raise ModelKindError(
                f"{title} cannot be pickled ({type(error).__name__}: {error}). Functions must be "
                "defined in a module and not be lambdas; give a splitter in place of a generator"
            ) from error

    def check_trust(self, contents: dict[str, bytes]) -> None:
        """Refuse pickles unless they may be loaded.

        Raises
        ------
        UntrustedPayloadError
        """
        if self.trusted not in (None, True):
            raise UntrustedPayloadError(
                "the experts of this bundle are pickles, which can execute any code when they are "
                f"loaded, and trusted={self.trusted!r} forbids that. If you trust its source "
                "(better, verify a signature with key=), load it with trusted=True; otherwise ask "
                "for a bundle with payload='skops'"
            )

    def load(self, source: Source, mmap_mode: str | None = None) -> Any:
        """Object of a pickle.

        Raises
        ------
        PayloadError
            If it cannot be built with the libraries that are installed here.
        """
        try:
            if mmap_mode is None or source.path is None:
                return joblib.load(io.BytesIO(source.content))
            return from_pickle_mapped(source.content, source.path, source.offset, mmap_mode)
        except MemoryError:
            raise
        except Exception as error:
            raise cannot_build(source.title, error) from error


class SkopsPayload:
    """Files of skops, which are read without pickle and name the types that they need.

    Parameters
    ----------
    trusted : None, bool or list of str
        True trusts all types; a list names some beside those that skops and skmoe know.
    """

    suffix = "skops"

    def __init__(self, trusted: Any = None) -> None:
        self.io = import_skops()
        self.trusted = trusted

    def dump(self, value: Any, title: str) -> list[bytes]:
        """Bytes of a skops file, in one piece.

        Raises
        ------
        ModelKindError
            If skops does not know how to write the object.
        """
        from ._skops import canonical

        try:
            return [canonical(self.io.dumps(value))]
        except MemoryError:
            raise
        except Exception as error:
            raise ModelKindError(
                f"{title} cannot be written by skops ({type(error).__name__}: {error}); "
                "payload='joblib' may be able to"
            ) from error

    def check_trust(self, contents: dict[str, bytes]) -> None:
        """Refuse types that nobody has declared to be harmless.

        Raises
        ------
        UntrustedPayloadError
            With all of these types, of all members.
        """
        self._check_types(
            {name for title, content in contents.items() for name in self._types(title, content)}
        )

    def load(self, source: Source, mmap_mode: str | None = None) -> Any:
        """Object of a skops file.

        Raises
        ------
        UntrustedPayloadError
            As `check_trust`, which has seen all members together if all is well.
        PayloadError
            If it cannot be built with the libraries that are installed here.
        """
        types = self._types(source.title, source.content)
        self._check_types(types)
        try:
            return self.io.loads(source.content, trusted=types)
        except MemoryError:
            raise
        except Exception as error:
            raise cannot_build(source.title, error) from error

    def _check_types(self, types: Iterable[str]) -> None:
        if self.trusted is True:
            return
        unknown = {name for name in types if not is_ours(name)}
        refused = sorted(unknown.difference(self.trusted or ()))
        if refused:
            review = tuple(sorted(unknown))
            raise UntrustedPayloadError(
                f"skops does not know whether these types are harmless: {refused}. Review them; "
                f"if they are, load with trusted={list(review)!r}",
                review,
            )

    def _types(self, title: str, content: bytes) -> list[str]:
        """Types in a skops file that skops does not know to be harmless."""
        try:
            return self.io.get_untrusted_types(data=content)
        except MemoryError:
            raise
        except Exception as error:
            raise cannot_build(title, error) from error


PAYLOADS: dict[str, Any] = {"joblib": JoblibPayload, "skops": SkopsPayload}


def import_skops() -> Any:
    """Return the module ``skops.io``.

    Raises
    ------
    ImportError
        If it is not installed.
    """
    try:
        import skops.io
    except ImportError as error:
        raise ImportError("payload='skops' needs skops: pip install 'skmoe[skops]'") from error
    return skops.io


def is_ours(name: str) -> bool:
    """Whether a type is one of skmoe's own estimators or records."""
    module, _, attribute = name.rpartition(".")
    if module.split(".")[0] != "skmoe":
        return False
    try:
        return is_own(getattr(importlib.import_module(module), attribute))
    except (ImportError, AttributeError):
        return False


def cannot_build(title: str, error: Exception) -> PayloadError:
    """Say why an intact object could not be built."""
    reason = f"{type(error).__name__}: {error}"
    if isinstance(error, ImportError | AttributeError):
        advice = (
            "Install the packages in the versions that read_manifest() lists, own modules included"
        )
    else:
        advice = "Compare the versions of the packages with those that read_manifest() lists"
    return PayloadError(f"{title} is intact, but cannot be built here ({reason}). {advice}")
