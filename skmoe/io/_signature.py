"""Signatures: who has the key can tell whether a bundle is as another holder wrote it."""

from __future__ import annotations

import hmac

from ._errors import SignatureError

MIN_KEY_SIZE = 16
"""Bytes; a shorter key could be guessed."""

ADVICE = "secrets.token_bytes(32) makes a good one"


def check_key(key: bytes) -> bytes:
    """Refuse what is not a key.

    Raises
    ------
    TypeError, ValueError
        If the key is not bytes, or too short.
    """
    if not isinstance(key, bytes | bytearray):
        raise TypeError(f"key must be bytes, got {type(key).__name__}; {ADVICE}")
    if len(key) < MIN_KEY_SIZE:
        raise ValueError(f"key has {len(key)} bytes, needs {MIN_KEY_SIZE} or more; {ADVICE}")
    return bytes(key)


def sign(manifest: bytes, key: bytes) -> bytes:
    """Hexadecimal HMAC-SHA-256 of a manifest, which holds the hashes of everything else."""
    return hmac.new(key, manifest, "sha256").hexdigest().encode("ascii")


def check_signature(manifest: bytes, signature: bytes | None, key: bytes) -> None:
    """Compare a signature with the one that this key gives, in constant time.

    Raises
    ------
    SignatureError
    """
    if signature is None:
        raise SignatureError(
            "a key was given, but the bundle is not signed: either it never was, or somebody has "
            "stripped the signature. Get it again from its source, or dump it with key="
        )
    if not hmac.compare_digest(sign(manifest, key), signature):
        raise SignatureError(
            "the signature does not belong to this key and this manifest: the bundle was signed "
            "with another key, or was changed after it was signed. Do not load it before you know "
            "which"
        )
