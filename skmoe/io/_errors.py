"""What can be wrong with a bundle: one family of errors, each with its remedy."""

from __future__ import annotations


class BundleError(Exception):
    """Base of all errors about a bundle; its message says what is wrong and what to do.

    Errors of the operating system (no such file, disk full) stay what they are, `OSError`.
    """


class NotABundleError(BundleError):
    """The file is something else: another zip, a pickle, text, or empty."""


class TruncatedBundleError(BundleError):
    """The file ends before its table of contents: the copy or download was cut short."""


class DamagedBundleError(BundleError):
    """Content differs from what was written: a checksum or a record does not match."""


class DuplicateMemberError(BundleError):
    """Two members of the archive have one name, so that tools disagree about the content."""


class MemberOrderError(BundleError):
    """The members are not in the order that the manifest lists."""


class MemberListError(BundleError):
    """A member that the manifest lists is missing, or one that it does not list is there."""


class UnsafePathError(BundleError):
    """A member's name would lead out of the directory that it is extracted to."""


class BundleSizeError(BundleError):
    """The members would inflate to far more than a bundle of this size holds."""


class FormatVersionError(BundleError):
    """The format version is one that this release of skmoe does not read."""


class ModelKindError(BundleError):
    """The model is not a mixture that this release of skmoe knows, or cannot be saved."""


class SignatureError(BundleError):
    """A key was given, and the signature is missing or was made with another key."""


class UntrustedPayloadError(BundleError):
    """Loading would need more trust than was granted.

    Attributes
    ----------
    types : tuple of str
        For a skops payload: the names of the types to review, which ``trusted=`` takes. Empty
        for a payload of pickles.
    """

    def __init__(self, message: str, types: tuple[str, ...] = ()) -> None:
        super().__init__(message, types)
        self.types = types

    def __str__(self) -> str:
        return str(self.args[0])


class PayloadError(BundleError):
    """A member is intact, but its object could not be built here or written there."""


class GoldenRowsError(BundleError):
    """The loaded model predicts something else for the golden rows than the saved one did."""


class BundleWarning(UserWarning):
    """Something about a bundle that a user should know, but that does not make it unusable."""
