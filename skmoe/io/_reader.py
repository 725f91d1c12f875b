"""Reading bundles: verify first, then load."""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from ._archive import AGAIN, Archive
from ._arrays import array_from_bytes
from ._environment import version_differences
from ._errors import (
    BundleError,
    BundleWarning,
    DamagedBundleError,
    MemberListError,
    MemberOrderError,
    ModelKindError,
)
from ._format import MANIFEST, SIGNATURE, STATE
from ._golden import TOLERANCE, replay, replay_expert
from ._json import from_json
from ._lazy import LazyExpert
from ._manifest import Manifest, check_entries, format_version, parse_manifest
from ._payload import PAYLOADS, Payload, Source
from ._signature import check_key, check_signature
from ._state import Decoder, find_class, is_mixture

THREADS = 4
"""That read and hash."""


class Options(NamedTuple):
    """How to load; see `load`."""

    trusted: Any
    mmap_mode: str | None
    lazy: bool
    path: str | None


class Bundle(NamedTuple):
    """An archive whose structure is that of a bundle.

    Attributes
    ----------
    archive : Archive
    entries : dict
        The manifest, and its list of members by name.
    listed : dict of str -> dict
    """

    archive: Archive
    entries: dict[str, Any]
    listed: dict[str, dict[str, Any]]

    def content(self, name: str) -> bytes:
        """Bytes of a member, compared with their hash.

        Raises
        ------
        DamagedBundleError
        """
        content = self.archive.read(self.archive.names[name])
        if hashlib.sha256(content).hexdigest() != self.listed[name]["sha256"]:
            raise DamagedBundleError(
                f"the SHA-256 of {name} is not the one in the manifest: its bytes were changed. "
                f"{AGAIN}"
            )
        return content


def load(
    file: Any,
    *,
    key: bytes | None = None,
    trusted: bool | list[str] | None = None,
    mmap_mode: str | None = None,
    lazy: bool = False,
) -> Any:
    """Load a mixture from a bundle, after everything in it has been verified.

    Bundles with ``payload="joblib"`` contain pickles, and a pickle can execute any code when it is
    loaded: load them only from sources that you trust.

    Parameters
    ----------
    file : str, path or readable binary file object
    key : bytes, default=None
        The key that the bundle must be signed with. Without it a signature is not looked at.
    trusted : bool or list of str, default=None
        False refuses pickles. For a bundle with ``payload="skops"``: types to load beside those
        that skops knows to be harmless, True for all types. None loads pickles, and in bundles of
        skops the harmless types only.
    mmap_mode : {"r", "c"}, default=None
        Maps arrays of experts into memory in place of reading them, so that processes share them:
        read-only or copy-on-write. For paths of uncompressed bundles of joblib. It depends on the
        estimator what is shared: trees of scikit-learn copy their nodes, see the user guide.
    lazy : bool, default=False
        Load each expert, and verify it, when it is first used. For paths.

    Returns
    -------
    model : MixtureOfExpertsClassifier or MixtureOfExpertsRegressor

    Raises
    ------
    BundleError
        One subclass for each thing that can be wrong; nothing has been loaded then. With
        ``lazy=True`` the members of experts are verified at their first use.
    OSError
        If the file cannot be read.

    Warns
    -----
    BundleWarning
        If the bundle was saved with other versions of packages; the message tells whether the
        model still predicts the same for the golden rows.

    See Also
    --------
    dump : Save a model, with an example.
    inspect : Read what a bundle says about itself, without loading it.
    """
    if mmap_mode not in (None, "r", "c"):
        raise ValueError(f"mmap_mode must be None, 'r' or 'c', got {mmap_mode!r}")
    in_memory = hasattr(file, "read")
    if in_memory and (lazy or mmap_mode):
        raise ValueError("lazy and mmap_mode need the path of a file, not a file object")
    path = None if in_memory else os.fsdecode(file)
    key = None if key is None else check_key(key)
    archive = open_archive(file)
    try:
        bundle = open_bundle(archive, key)
        options = Options(trusted, mmap_mode, lazy, path)
        model = READERS[format_version(bundle.entries)](bundle, options)
        if mmap_mode:
            check_same_file(archive, path)
    finally:
        if not lazy:
            archive.close()
    compare(model, bundle.entries, whole=not lazy)
    return model


def inspect(file: Any) -> Manifest:
    """Read what a bundle says about itself, without executing or verifying anything.

    Works for bundles of newer format versions as far as they are understood.

    Parameters
    ----------
    file : str, path or readable binary file object

    Returns
    -------
    manifest : Manifest
        Its attributes are the parts of the manifest; it prints as a summary.

    Raises
    ------
    BundleError
        If there is no manifest to read.

    See Also
    --------
    dump : Save a model, with an example.
    """
    archive = open_archive(file)
    try:
        return Manifest(parse_manifest(archive.read_manifest()), SIGNATURE in archive.names)
    finally:
        archive.close()


def verify(file: Any, *, key: bytes | None = None) -> Manifest:
    """Verify structure, sizes, hashes and signature of a bundle, without executing anything.

    Parameters
    ----------
    file : str, path or readable binary file object
    key : bytes, default=None
        The key that the bundle must be signed with.

    Returns
    -------
    manifest : Manifest

    Raises
    ------
    BundleError
        One subclass for each thing that can be wrong.
    """
    key = None if key is None else check_key(key)
    archive = open_archive(file)
    try:
        bundle = open_bundle(archive, key)
        verified_contents(bundle, list(bundle.listed))
        return Manifest(bundle.entries, SIGNATURE in archive.names)
    finally:
        archive.close()


def open_archive(file: Any) -> Archive:
    """Archive of a path, or of what is left to read of a file object."""
    if hasattr(file, "read"):
        return Archive(io.BytesIO(file.read()))
    return Archive(open(os.fsdecode(file), "rb"))


def open_bundle(archive: Archive, key: bytes | None) -> Bundle:
    """Verify all of a bundle but the content of the members that the manifest lists.

    Raises
    ------
    BundleError
    """
    manifest = archive.read_manifest()
    entries = parse_manifest(manifest)
    format_version(entries)
    archive.check_layout()
    if key is not None:
        signature = archive.names.get(SIGNATURE)
        check_signature(manifest, signature and archive.read(signature), key)
    check_entries(entries)
    return Bundle(archive, entries, check_members(archive, entries))


def check_members(archive: Archive, entries: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Compare the members of the archive with the manifest's list, which is returned by name.

    Raises
    ------
    MemberListError, MemberOrderError, DamagedBundleError
    """
    listed = {member["name"]: member for member in entries["members"]}
    there = [m.name for m in archive.members if m.name not in (MANIFEST, SIGNATURE)]
    needed = {STATE, *(expert["member"] for expert in entries["experts"])}
    missing = sorted((needed | set(listed)) - set(there))
    unlisted = sorted(set(there) - set(listed))
    if missing or unlisted:
        raise MemberListError(
            f"the archive lacks the members {missing} and has members {unlisted} that the "
            f"manifest does not list. {AGAIN}"
        )
    expected = [MANIFEST, *([SIGNATURE] if SIGNATURE in archive.names else []), *listed]
    if [member.name for member in archive.members] != expected:
        raise MemberOrderError(
            f"the members are not in the order of the manifest: the archive was packed anew by "
            f"another tool. {AGAIN}"
        )
    for name, member in listed.items():
        if archive.names[name].size != member["size"]:
            size = archive.names[name].size
            raise DamagedBundleError(
                f"{name} has {size} bytes in place of {member['size']}. {AGAIN}"
            )
    return listed


def read_version_1(bundle: Bundle, options: Options) -> Any:
    """Build the model of a bundle of format version 1."""
    entries = bundle.entries
    kind = known_mixture(entries["model"]["class"])
    payload = known_payload(entries["payload"], options)
    members = dict.fromkeys(expert["member"] for expert in entries["experts"])
    later = set(members) if options.lazy else set()
    if options.mmap_mode and any(bundle.archive.names[name].method for name in members):
        raise ValueError("this bundle is compressed, so that mmap_mode has nothing to map")
    contents = verified_contents(bundle, [name for name in bundle.listed if name not in later])
    payload.check_trust(
        {name: c for name, c in contents.items() if name.endswith(f".{payload.suffix}")}
    )
    numbers = {expert["member"]: i for i, expert in reversed([*enumerate(entries["experts"])])}
    for name in members:
        if options.lazy:
            members[name] = lazy_expert(bundle, payload, options, numbers[name])
        else:
            verified = source(bundle, options, name, contents.pop(name))
            members[name] = payload.load(verified, options.mmap_mode)
    decoder = Decoder(
        [members[expert["member"]] for expert in entries["experts"]],
        lambda name: array_from_bytes(contents.pop(name)),
        lambda name: payload.load(Source(name, contents.pop(f"{name}.{payload.suffix}"))),
    )
    try:
        model = decoder.decode(from_json(contents.pop(STATE)))
    except BundleError:
        raise
    except Exception as error:  # a tree that no Encoder makes can be wrong in any way
        raise DamagedBundleError(
            f"{STATE} does not describe a model ({type(error).__name__}: {error}). {AGAIN}"
        ) from error
    if type(model) is not kind:
        raise ModelKindError(
            f"the manifest promises a {kind.__name__}, and {STATE} holds a "
            f"{type(model).__name__}. {AGAIN}"
        )
    return model


READERS: dict[int, Callable[[Bundle, Options], Any]] = {1: read_version_1}


def verified_contents(bundle: Bundle, names: list[str]) -> dict[str, bytes]:
    """Bytes of members by name, compared with their hashes by several threads."""
    with ThreadPoolExecutor(THREADS) as threads:
        return dict(zip(names, threads.map(bundle.content, names), strict=True))


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
        expert = payload.load(source(bundle, options, name, content), options.mmap_mode)
        if options.mmap_mode:
            check_same_file(bundle.archive, options.path)
        if golden is not None:
            replay_expert(expert, number, classifier, golden)
        return expert

    return LazyExpert(f"{entry['name']}: {entry['type']}", load_expert)


def check_same_file(archive: Archive, path: str | None) -> None:
    """Refuse a path that leads to another file now: arrays were mapped from both.

    Raises
    ------
    DamagedBundleError
    """
    if not os.path.samestat(os.fstat(archive.file.fileno()), os.stat(path or "")):
        raise DamagedBundleError("the file was replaced while it was loaded; load it again")


def compare(model: Any, entries: dict[str, Any], whole: bool) -> None:
    """Replay the golden rows, and tell what is different here.

    Raises
    ------
    GoldenRowsError
    """
    golden = entries.get("golden")
    finding, moved = "there are no golden rows to compare", 0.0
    if golden is not None:
        try:
            moved = replay(model, golden, whole)
        except ImportError as error:
            finding = f"its golden rows cannot be compared ({error})"
        else:
            finding = (
                f"its predictions for the golden rows differ by {moved:.1e} of the largest "
                f"(allowed: {TOLERANCE:.0e})"
                if moved
                else "its predictions for the golden rows are the same to the last bit"
            )
    changed = version_differences(entries["versions"])
    if changed:
        finding = f"the model was saved with other versions ({', '.join(changed)}); {finding}"
    elif moved:
        finding += ", though all versions are the same: another processor or number of threads?"
    elif golden is None or finding.startswith("its predictions"):
        return
    warnings.warn(finding, BundleWarning, stacklevel=3)
