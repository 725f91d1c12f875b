"""Writing a mixture to a bundle."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from numbers import Integral
from typing import Any, BinaryIO

from sklearn.utils.validation import check_is_fitted

from ._arrays import array_to_bytes
from ._atomic import check_target, replacing
from ._bundle import refuse_text
from ._environment import versions
from ._errors import ModelKindError
from ._format import FORMAT, MANIFEST, SIGNATURE, STATE, VERSION
from ._golden import golden_record
from ._json import from_json, to_json
from ._manifest import describe, describe_training, type_name
from ._payload import PAYLOADS, Payload
from ._signature import check_key, sign
from ._state import Encoder, fitted_mixtures, is_mixture
from ._zip_writer import Part, pack, total_size, write_archive

HASHING_THREADS = 1
"""That work while this one pickles; one keeps up with it, and more were slower."""

WORTH_A_THREAD = 2**16
"""Bytes."""

PIECE = 2**20
"""Bytes that are copied at a time."""


def dump(
    model: Any,
    file: Any,
    *,
    golden_rows: Any = None,
    metadata: dict[str, Any] | None = None,
    payload: str = "joblib",
    compress: int = 0,
    key: bytes | None = None,
) -> None:
    """Save a fitted mixture, or what contains some, as a file that can be verified and inspected.

    Parameters
    ----------
    model : fitted estimator
        A mixture, or an estimator that contains fitted mixtures: a Pipeline, a calibrated
        classifier, a search. It is not changed. A search is stored with all that it has found;
        give its ``best_estimator_`` to save no more than that. What is no mixture itself is one
        object in the file, so that its experts are not loaded one by one.
    file : str, path or writable binary file object
        A path is replaced in one step after everything is on the disk: whatever goes wrong, the
        file that was there before stays as it is.
    golden_rows : {array-like, sparse matrix, data frame} or False, default=None
        The first 5 rows are stored with the model's predictions, for everyone to read, and
        predicted again whenever the bundle is loaded. None makes rows up, which is possible for
        models that take numbers. False does without.
    metadata : dict, default=None
        Values that JSON has, for whoever inspects the bundle.
    payload : {"joblib", "skops"}, default="joblib"
        "joblib" stores experts as pickles, which execute code when they are loaded. "skops" needs
        the package of that name, stores what it knows how to store, and loads without pickles.
    compress : int, default=0
        0 stores; 1 to 9 compress, from fast to small.
    key : bytes, default=None
        Signs the bundle: whoever has the same key can verify at loading that nothing was changed.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If the model is not fitted.
    BundleError
        If `model` contains no fitted mixture, or has parts that cannot be written.
    OSError
        If the file cannot be written.

    See Also
    --------
    load : Load a bundle.
    read_manifest : Read what a bundle says about itself.

    Notes
    -----
    The same model, arguments and versions of packages give the same bytes, up to what pickle
    leaves open (sets of strings, for example, have another order in each process). While it is
    written, the bundle is held in memory in addition to the model.

    Examples
    --------
    >>> import os, tempfile
    >>> import skmoe
    >>> from skmoe.datasets import make_piecewise_regression
    >>> X, y = make_piecewise_regression(return_X_y=True, random_state=0)
    >>> model = skmoe.MixtureOfExpertsRegressor(n_experts=2, random_state=0).fit(
    ...     X, y
    ... )
    >>> path = os.path.join(tempfile.mkdtemp(), "model.skmoe")
    >>> skmoe.dump(
    ...     model, path, golden_rows=X, metadata={"trained by": "nightly job"}
    ... )
    >>> bool((skmoe.load(path).predict(X) == model.predict(X)).all())
    True
    >>> skmoe.read_manifest(path).metadata
    {'trained by': 'nightly job'}
    """
    if not is_mixture(type(model)) and not fitted_mixtures(model):
        raise ModelKindError(
            f"skmoe.dump saves fitted mixtures and estimators that contain some, and this is a "
            f"{type(model).__module__}.{type(model).__qualname__} without; use joblib.dump"
        )
    check_is_fitted(model)
    if payload not in PAYLOADS:
        raise ValueError(f"payload must be one of {sorted(PAYLOADS)}, got {payload!r}")
    if not isinstance(compress, Integral) or compress is True or not 0 <= compress <= 9:
        raise ValueError(f"compress must be an integer from 0 to 9, got {compress!r}")
    metadata = check_metadata(metadata)
    key = None if key is None else check_key(key)
    refuse_text(file, "wb")
    path = None if hasattr(file, "write") else os.fsdecode(file)
    if path is not None:
        check_target(path)
    with Packer(PAYLOADS[payload]()) as packer:
        parts = bundle_parts(model, packer, golden_rows, metadata, key)
    with copied_to(file) if path is None else replacing(path) as target:
        write_archive(target, parts, int(compress))


class Packer:
    """Turns objects into members, which another thread hashes meanwhile.

    Parameters
    ----------
    payload : Payload
    """

    def __init__(self, payload: Payload) -> None:
        self.payload = payload
        self.threads = ThreadPoolExecutor(HASHING_THREADS)

    def __enter__(self) -> Packer:
        return self

    def __exit__(self, *error: Any) -> None:
        self.threads.shutdown()

    def pack(self, name: str, pieces: list[bytes]) -> Future[Part]:
        """Member with this content; what is small is quicker done than handed over."""
        if total_size(pieces) < WORTH_A_THREAD:
            done: Future[Part] = Future()
            done.set_result(pack(name, pieces))
            return done
        return self.threads.submit(pack, name, pieces)

    def pack_object(self, name: str, value: Any, title: str) -> Future[Part]:
        """Member that holds an object, named with the payload's suffix."""
        return self.pack(f"{name}.{self.payload.suffix}", self.payload.dump(value, title))


def bundle_parts(
    model: Any,
    packer: Packer,
    golden_rows: Any,
    metadata: dict[str, Any],
    key: bytes | None,
) -> list[Part]:
    """All members in their order."""
    named = model.named_experts_ if is_mixture(type(model)) else {}
    experts: dict[int, Future[Part]] = {}
    for name, expert in named.items():
        if id(expert) not in experts:  # an expert that is there twice has one member
            title = f"expert {name!r} ({type_name(expert)})"
            member = f"experts/{len(experts)}"
            experts[id(expert)] = packer.pack_object(member, expert, title)
    golden = golden_record(model, golden_rows)  # while another thread hashes the experts
    encoder = Encoder(list(named.values()))
    tree = to_json(encoder.encode(model))
    waiting: list[tuple[Future[Part], dict[str, Any]]] = []
    waiting.append((packer.pack(STATE, [tree]), {"holds": "attributes"}))
    for name, array in encoder.arrays.items():
        details = {"dtype": str(array.dtype), "shape": list(array.shape)}
        waiting.append((packer.pack(name, [array_to_bytes(array)]), details))
    for name, (path, value) in encoder.objects.items():
        title = f"{path}: {type_name(value)}"
        waiting.append((packer.pack_object(name, value, title), {"holds": title}))
    waiting += [(part, {"holds": "expert"}) for part in experts.values()]
    parts = [part.result() for part, _ in waiting]
    manifest = to_json(
        {
            "format": FORMAT,
            "format_version": VERSION,
            "versions": versions(),
            "model": describe(model),
            "experts": [
                describe_expert(name, expert, experts[id(expert)].result())
                for name, expert in named.items()
            ],
            "mixtures": [
                {"where": where, **describe(mixture), "training": describe_training(mixture)}
                for where, mixture in ({} if named else fitted_mixtures(model)).items()
            ],
            "training": describe_training(model),
            "payload": packer.payload.suffix,
            "metadata": metadata,
            "golden": golden,
            "members": [
                {"name": part.name, "size": part.size, "sha256": part.sha256, **details}
                for part, (_, details) in zip(parts, waiting, strict=True)
            ],
        }
    )
    head = [packer.pack(MANIFEST, [manifest])]
    if key is not None:
        head.append(packer.pack(SIGNATURE, [sign(manifest, key)]))
    return [part.result() for part in head] + parts


def describe_expert(name: str, expert: Any, part: Part) -> dict[str, Any]:
    """Entry of an expert in the manifest."""
    return {"name": name, "type": type_name(expert), "member": part.name, "size": part.size}


def check_metadata(metadata: Any) -> dict[str, Any]:
    """Refuse what JSON would not give back as it was.

    Raises
    ------
    TypeError
    """
    if metadata is None:
        return {}
    try:
        same = isinstance(metadata, dict) and from_json(to_json(metadata)) == metadata
    except (TypeError, ValueError):
        same = False
    if not same:
        raise TypeError(
            "metadata must be a dict of what JSON has: strings as keys; strings, finite numbers, "
            f"booleans, None, lists and such dicts as values; got {metadata!r}"
        )
    return metadata


@contextmanager
def copied_to(file: Any) -> Iterator[BinaryIO]:
    """Open a temporary file, which is copied to a file object that perhaps cannot seek.

    Such a file may take less than it is given at once.
    """
    with tempfile.TemporaryFile() as temporary:
        yield temporary
        temporary.seek(0)
        while piece := temporary.read(PIECE):
            rest = memoryview(piece)
            while len(rest):
                written = file.write(rest)
                rest = rest[len(rest) if written is None else written :]
