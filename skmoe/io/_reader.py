"""Reading bundles: verify first, then load."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import Any

from ._bundle import Bundle, open_archive, open_bundle, verified_contents
from ._environment import version_differences
from ._errors import BundleWarning
from ._format import SIGNATURE
from ._golden import TOLERANCE, replay
from ._manifest import Manifest, format_version, parse_manifest
from ._signature import check_key
from ._version_1 import Options, check_same_file, read_version_1

READERS: dict[int, Callable[[Bundle, Options], Any]] = {1: read_version_1}
"""What builds the model of a bundle, by its format version."""


def load(
    file: Any,
    *,
    key: bytes | None = None,
    trusted: bool | list[str] | None = None,
    mmap_mode: str | None = None,
    lazy: bool = False,
) -> Any:
    """Load a model from a bundle, after everything in it has been verified.

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
        Load each expert, and verify it, when it is first used. For paths, and of effect for
        mixtures that are not inside of another estimator.

    Returns
    -------
    model : MixtureOfExpertsClassifier or MixtureOfExpertsRegressor
        Or the estimator around it that was saved.

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
    read_manifest : Read what a bundle says about itself, without loading it.
    """
    if mmap_mode not in (None, "r", "c"):
        raise ValueError(f"mmap_mode must be None, 'r' or 'c', got {mmap_mode!r}")
    if not (trusted is None or isinstance(trusted, bool)) and not is_list_of_names(trusted):
        raise TypeError(f"trusted must be None, a bool or a list of types' names, got {trusted!r}")
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


def read_manifest(file: Any) -> Manifest:
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


def is_list_of_names(value: Any) -> bool:
    """Whether a value is a list (or tuple, or set) of strings."""
    return isinstance(value, list | tuple | set | frozenset) and all(
        isinstance(name, str) for name in value
    )


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
