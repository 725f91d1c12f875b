"""Building the model of a bundle of format version 1."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from ._archive import AGAIN, Archive
from ._arrays import array_from_bytes
from ._bundle import Bundle, verified_contents
from ._errors import BundleError, DamagedBundleError, ModelKindError
from ._format import STATE
from ._golden import replay_expert
from ._json import from_json
from ._lazy import LazyExpert, stand_in
from ._manifest import type_name
from ._payload import PAYLOADS, Payload, Source
from ._state import Decoder, find_class, is_mixture


class Options(NamedTuple):
    """How to load; see `load`."""

    trusted: Any
    mmap_mode: str | None
    lazy: bool
    path: str | None


def read_version_1(bundle: Bundle, options: Options) -> Any:
    """Build the model of a bundle of format version 1."""
    entries = bundle.entries
    name = entries["model"]["class"]
    kind = None if entries.get("mixtures") else known_mixture(name)
    payload = known_payload(entries["payload"], options)
    experts = {expert["member"] for expert in entries["experts"]}
    later = experts if options.lazy else set()
    if options.mmap_mode and any(bundle.archive.names[name].method for name in experts):
        raise ValueError("this bundle is compressed, so that mmap_mode has nothing to map")
    contents = verified_contents(bundle, [name for name in bundle.listed if name not in later])
    payload.check_trust(
        {
            name: content
            for name, content in contents.items()
            if name in experts or name.endswith(f".{payload.suffix}")
        }
    )
    decoder = Decoder(
        load_experts(bundle, payload, options, contents),
        lambda name: array_from_bytes(contents.pop(name)),
        lambda name: payload.load(Source(name, contents.pop(f"{name}.{payload.suffix}"))),
    )
    try:
        model = decoder.decode(from_json(contents.pop(STATE)))
    except BundleError:
        raise
    except MemoryError:
        raise
    except Exception as error:  # a tree that no Encoder makes can be wrong in any way
        raise DamagedBundleError(
            f"{STATE} does not describe a model ({type(error).__name__}: {error}). {AGAIN}"
        ) from error
    if kind is not type(model) and (kind is not None or type_name(model) != name):
        raise ModelKindError(
            f"the manifest promises a {name}, and {STATE} holds a {type_name(model)}. {AGAIN}"
        )
    return model


def load_experts(
    bundle: Bundle, payload: Payload, options: Options, contents: dict[str, bytes]
) -> list[Any]:
    """All experts in their order; those that share a member are one object.

    The bytes of an expert are released when it has been built.
    """
    experts: dict[str, Any] = {}
    for number, entry in enumerate(bundle.entries["experts"]):
        name = entry["member"]
        if name in experts:
            continue
        if options.lazy:
            experts[name] = lazy_expert(bundle, payload, options, number)
        else:
            verified = source(bundle, options, name, contents.pop(name))
            experts[name] = payload.load(verified, options.mmap_mode)
            del verified
    return [experts[entry["member"]] for entry in bundle.entries["experts"]]


def known_mixture(name: str) -> type:
    """Class of skmoe with this name.

    Raises
    ------
    ModelKindError
    """
    try:
        kind = find_class(name)
    except (ValueError, ImportError, AttributeError):
        kind = object
    if not is_mixture(kind):
        raise ModelKindError(
            f"the bundle holds a {name}, which is no mixture that this release of skmoe knows. "
            "If it is from a newer release, upgrade skmoe"
        )
    return kind


def known_payload(name: str, options: Options) -> Payload:
    """Payload with this name.

    Raises
    ------
    ModelKindError
    """
    if name not in PAYLOADS:
        raise ModelKindError(
            f"the experts are stored as {name!r}, which this release of skmoe does not read; "
            f"it reads {sorted(PAYLOADS)}. Upgrade skmoe"
        )
    if options.mmap_mode and name != "joblib":
        raise ValueError(f"mmap_mode needs a bundle with payload='joblib', and this has {name!r}")
    return PAYLOADS[name](options.trusted)


def source(bundle: Bundle, options: Options, name: str, content: bytes) -> Source:
    """Verified bytes of an expert together with their place in the file."""
    if not options.mmap_mode:
        return Source(name, content)
    member = bundle.archive.names[name]
    return Source(name, content, options.path, bundle.archive.data_offset(member))


def lazy_expert(bundle: Bundle, payload: Payload, options: Options, number: int) -> LazyExpert:
    """Build the stand-in for an expert, which is verified and compared when it is loaded."""
    entry, golden = bundle.entries["experts"][number], bundle.entries.get("golden")
    name = entry["member"]
    classifier = bundle.entries["model"].get("classes") is not None

    def load_expert() -> Any:
        content = bundle.content(name)
        payload.check_trust({name: content})
        expert = payload.load(source(bundle, options, name, content), options.mmap_mode)
        if options.mmap_mode:
            check_same_file(bundle.archive, options.path)
        if golden is not None:
            replay_expert(expert, number, classifier, golden)
        return expert

    kind = stand_in(LazyExpert, entry["type"].rpartition(".")[2])
    return kind(f"{entry['name']}: {entry['type']}", load_expert)


def check_same_file(archive: Archive, path: str | None) -> None:
    """Refuse a path that leads to another file now: arrays were mapped from both.

    Raises
    ------
    DamagedBundleError
    """
    if not os.path.samestat(os.fstat(archive.file.fileno()), os.stat(path or "")):
        raise DamagedBundleError("the file was replaced while it was loaded; load it again")
