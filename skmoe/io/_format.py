"""The format of a bundle: its version, its members, its limits.

A bundle is a zip archive whose members are stored or deflated, without encryption, data
descriptors, comments or gaps:

===================  ============================================================================
manifest.json        first; what is readable about the model, and name, size and SHA-256 of every
                     member below, in their order
manifest.hmac        only in signed bundles: hexadecimal HMAC-SHA-256 of the bytes of manifest.json
state.json           the mixture's attributes as a tree of plain values and references
state/....npy        one NumPy array each, never with pickled objects
experts/<k>.<kind>   one expert each, written by joblib or skops
objects/<k>.<kind>   whatever else is neither plain nor an array: unfitted estimators given as
                     parameters, a gate's classifier
===================  ============================================================================

How to bump the version
-----------------------
The version changes when an old reader would fail on a new file or, worse, misread it: another
meaning of a manifest entry that loading uses, another tag in state.json, another layout. It does
not change for a new entry that old readers may ignore.

1. Add 1 to ``VERSION`` and a line to ``HISTORY``.
2. Keep ``_version_1.py``, add a file for the new version, and list it in ``READERS`` in
   ``_reader.py``. Never edit a reader of an old version except to repair it.
3. Run ``python tests/io/stored/make_bundles.py`` and commit the new files beside the old ones,
   which ``tests/io/test_bundle_history.py`` loads for ever.
4. Tell users in CHANGELOG.md which release reads what.

What a class of skmoe was called, and what its attributes were, is no matter of the format: see
``skmoe/_compat.py``, whose tables serve pickles as well. Nothing of this bumps the version.
"""

from __future__ import annotations

FORMAT = "skmoe bundle"

VERSION = 1

HISTORY = {1: "skmoe 0.1: first version"}

MANIFEST = "manifest.json"

SIGNATURE = "manifest.hmac"

STATE = "state.json"

ALIGNMENT = 64
"""Stored members start at multiples of this, so that arrays in them can be memory-mapped."""

MAX_MANIFEST_SIZE = 64 * 2**20
"""Bytes; no more than this of a manifest is read."""

MAX_INFLATION = 100
"""A bundle may inflate to so many times the size of its file..."""

FREE_INFLATION = 64 * 2**20
"""...and to this many bytes in any case."""
