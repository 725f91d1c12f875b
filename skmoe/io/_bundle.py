"""A bundle whose structure has been verified, and whose members are when they are read."""

from __future__ import annotations

import hashlib
import io
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from ._archive import AGAIN, Archive
from ._errors import DamagedBundleError, MemberListError, MemberOrderError
from ._format import MANIFEST, SIGNATURE, STATE
from ._manifest import check_entries, format_version, parse_manifest
from ._signature import check_signature

THREADS = 4
"""That read and hash."""

WORTH_THREADS = 2**22
"""Bytes; to start threads takes longer than to hash fewer."""


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


def open_archive(file: Any) -> Archive:
    """Archive of a path, or of what is left to read of a file object."""
    refuse_text(file, "rb")
    if hasattr(file, "read"):
        return Archive(io.BytesIO(file.read()))
    opened = open(os.fsdecode(file), "rb")
    try:
        return Archive(opened)
    except BaseException:
        opened.close()
        raise


def refuse_text(file: Any, mode: str) -> None:
    """Say how to open a file that was opened as text.

    Raises
    ------
    TypeError
    """
    if isinstance(file, io.TextIOBase):
        raise TypeError(f"the file is open as text; give its path, or open it with mode {mode!r}")


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


def verified_contents(bundle: Bundle, names: list[str]) -> dict[str, bytes]:
    """Bytes of members by name, compared with their hashes, by several threads if it pays."""
    if sum(bundle.listed[name]["size"] for name in names) < WORTH_THREADS:
        return {name: bundle.content(name) for name in names}
    with ThreadPoolExecutor(THREADS) as threads:
        return dict(zip(names, threads.map(bundle.content, names), strict=True))
