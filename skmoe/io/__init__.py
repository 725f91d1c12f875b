"""Bundles: a fitted mixture as one file that can be verified, inspected and trusted.

`dump`, `load` and `read_manifest` are also available as ``skmoe.dump``, ``skmoe.load`` and
``skmoe.read_manifest``.
"""

from ._errors import (
    BundleError,
    BundleSizeError,
    BundleWarning,
    DamagedBundleError,
    DuplicateMemberError,
    FormatVersionError,
    GoldenRowsError,
    MemberListError,
    MemberOrderError,
    ModelKindError,
    NotABundleError,
    PayloadError,
    SignatureError,
    TruncatedBundleError,
    UnsafePathError,
    UntrustedPayloadError,
)
from ._golden import invented_rows
from ._manifest import Manifest
from ._reader import load, read_manifest, verify
from ._writer import dump

__all__ = [
    "BundleError",
    "BundleSizeError",
    "BundleWarning",
    "DamagedBundleError",
    "DuplicateMemberError",
    "FormatVersionError",
    "GoldenRowsError",
    "Manifest",
    "MemberListError",
    "MemberOrderError",
    "ModelKindError",
    "NotABundleError",
    "PayloadError",
    "SignatureError",
    "TruncatedBundleError",
    "UnsafePathError",
    "UntrustedPayloadError",
    "dump",
    "invented_rows",
    "read_manifest",
    "load",
    "verify",
]


# Tracebacks and documentation name these by where users import them from.
for _class in [value for value in globals().values() if isinstance(value, type)]:
    _class.__module__ = __name__
