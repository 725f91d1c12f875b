"""Reading a zip archive with suspicion: structure first, then bounded reads.

Python's `zipfile` parses the central directory. All else is checked here, since its leniency is
what attackers and accidents use: members that overlap or hide in gaps, names that differ between
the two headers, sizes that lie.
"""

from __future__ import annotations

import os
import struct
import threading
import zipfile
import zlib
from typing import Any, BinaryIO, NamedTuple

from ._errors import (
    BundleSizeError,
    DamagedBundleError,
    DuplicateMemberError,
    MemberOrderError,
    NotABundleError,
    TruncatedBundleError,
    UnsafePathError,
)
from ._format import FREE_INFLATION, MANIFEST, MAX_INFLATION, MAX_MANIFEST_SIZE

LOCAL_HEADER = struct.Struct("<4s5H3I2H")

END_RECORD_SIZE = 22


STORED, DEFLATED = 0, 8

UTF8_NAME = 0x0800

AGAIN = "Get it again from its source"


class Member(NamedTuple):
    """Where a member is and how large."""

    name: str
    header_offset: int
    stored_size: int
    size: int
    method: int
    flags: int
    crc: int


class Archive:
    """The members of an open zip file.

    Opening parses the central directory; `check_layout` then compares it with the rest of the
    file. Reading is safe from several threads, and after a fork where the system has ``pread``.

    Parameters
    ----------
    file : binary file object
        Readable and seekable. The archive closes it.

    Raises
    ------
    NotABundleError, TruncatedBundleError, DamagedBundleError
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self._lock = threading.Lock()
        self.size = file.seek(0, os.SEEK_END)
        self._check_ends()
        self.members, self.directory_offset = self._parse()
        self.names = {member.name: member for member in self.members}
        if MANIFEST not in self.names:
            raise NotABundleError(foreign_zip(self.names))

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def __del__(self) -> None:
        self.close()

    def _check_ends(self) -> None:
        head = self.read_at(0, 4)
        if head != b"PK\x03\x04":
            raise NotABundleError(foreign_file(self.read_at(0, 64), self.size))
        tail_size = min(self.size, 2**16 + END_RECORD_SIZE)
        tail = self.read_at(self.size - tail_size, tail_size)
        start = tail.rfind(b"PK\x05\x06")
        record = tail[start:]
        if start < 0 or len(record) < END_RECORD_SIZE:
            raise TruncatedBundleError(
                f"the file ends after {self.size} bytes, before the table of contents of the "
                f"archive does: a copy or download was cut short. {AGAIN}"
            )
        if len(record) > END_RECORD_SIZE or not record.endswith(b"\0\0"):
            raise DamagedBundleError(
                "the archive does not end where the file ends: bytes were appended or changed. "
                f"{AGAIN}"
            )

    def _parse(self) -> tuple[list[Member], int]:
        try:
            with self._lock, zipfile.ZipFile(self.file) as archive:
                members = [
                    Member(
                        info.orig_filename,
                        info.header_offset,
                        info.compress_size,
                        info.file_size,
                        info.compress_type,
                        info.flag_bits,
                        info.CRC,
                    )
                    for info in archive.infolist()
                ]
                return members, int(archive.start_dir)
        except MemoryError:
            raise
        except Exception as error:  # zipfile raises whatever its parsing runs into
            raise DamagedBundleError(
                f"the table of contents of the archive is damaged ({error}). {AGAIN}"
            ) from error

    def check_layout(self) -> None:
        """Check names, sizes and that the members fill the file one after the other.

        Raises
        ------
        DuplicateMemberError, UnsafePathError, MemberOrderError, BundleSizeError,
        DamagedBundleError
        """
        self._check_names()
        self._check_sizes()
        position = 0
        for member in self.members:
            if member.header_offset != position:
                raise DamagedBundleError(
                    f"{member.name} starts at byte {member.header_offset}, but what comes before "
                    f"it ends at byte {position}: members overlap, are out of order or hide "
                    f"something between them. {AGAIN}"
                )
            position = self.data_offset(member) + member.stored_size
        if position != self.directory_offset:
            raise DamagedBundleError(
                f"there are {self.directory_offset - position} bytes between the last member and "
                f"the table of contents. {AGAIN}"
            )

    def _check_names(self) -> None:
        seen = set()
        for member in self.members:
            parts = member.name.split("/")
            if "\\" in member.name or ":" in member.name or {"", ".", ".."} & set(parts):
                raise UnsafePathError(
                    f"the member {member.name!r} would be extracted to a place outside of the "
                    "bundle; no release of skmoe writes such a name. Do not use this file"
                )
            if member.name in seen:
                raise DuplicateMemberError(
                    f"the archive holds {member.name!r} twice, so that it depends on the tool "
                    "which of the two is read. Do not use this file"
                )
            seen.add(member.name)
        if self.members[0].name != MANIFEST:
            raise MemberOrderError(
                f"{MANIFEST} must be the first member, and {self.members[0].name!r} is: the "
                f"archive was packed anew by another tool. {AGAIN}"
            )

    def _check_sizes(self) -> None:
        for member in self.members:
            check_method(member)
            if member.method == STORED and member.stored_size != member.size:
                raise DamagedBundleError(
                    f"{member.name} is stored as it is, but has {member.stored_size} bytes in "
                    f"place of {member.size}. {AGAIN}"
                )
        total = sum(member.size for member in self.members)
        if total > max(MAX_INFLATION * self.size, FREE_INFLATION):
            raise BundleSizeError(
                f"the members would inflate to {total} bytes, {total // self.size} times the size "
                "of the file: a zip bomb, or an archive of nothing but zeros. Do not use it"
            )

    def data_offset(self, member: Member) -> int:
        """Position of a member's first byte, from its own header.

        Raises
        ------
        DamagedBundleError
            If the header is not one, or has another name than the central directory.
        """
        name = member.name.encode("utf-8")
        size = LOCAL_HEADER.size + len(name)
        header = self.read_at(member.header_offset, size)
        if len(header) == size:
            magic, *_, name_size, extra_size = LOCAL_HEADER.unpack_from(header)
            if (magic, name_size) == (b"PK\x03\x04", len(name)) and header.endswith(name):
                return member.header_offset + size + extra_size
        raise DamagedBundleError(
            f"the header of {member.name} at byte {member.header_offset} is damaged. {AGAIN}"
        )

    def read(self, member: Member) -> bytes:
        """Content of a member, inflated to at most its size.

        Raises
        ------
        DamagedBundleError
            If it is shorter, longer, or does not inflate.
        """
        check_method(member)
        content = self.read_at(self.data_offset(member), member.stored_size)
        if member.method == DEFLATED:
            inflator = zlib.decompressobj(-zlib.MAX_WBITS)
            try:
                content = inflator.decompress(content, member.size + 1)
            except zlib.error as error:
                raise DamagedBundleError(f"{member.name} does not inflate. {AGAIN}") from error
        if len(content) != member.size:
            raise DamagedBundleError(
                f"{member.name} has {len(content)} bytes in place of {member.size}. {AGAIN}"
            )
        return content

    def read_manifest(self) -> bytes:
        """Content of the manifest, its checksum compared.

        Raises
        ------
        DamagedBundleError, BundleSizeError
        """
        member = self.names[MANIFEST]
        if max(member.size, member.stored_size) > MAX_MANIFEST_SIZE:
            raise BundleSizeError(
                f"{MANIFEST} claims {member.size} bytes, more than any manifest has. "
                "Do not use this file"
            )
        content = self.read(member)
        if zlib.crc32(content) != member.crc:
            raise DamagedBundleError(f"the checksum of {MANIFEST} does not match. {AGAIN}")
        return content

    def read_at(self, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset`; fewer at the end of the file."""
        if offset < 0:  # a damaged header
            return b""
        size = max(min(size, self.size - offset), 0)
        if hasattr(os, "pread") and (descriptor := file_descriptor(self.file)) is not None:
            return read_all(lambda done: os.pread(descriptor, size - done, offset + done), size)
        with self._lock:
            self.file.seek(offset)
            return read_all(lambda done: self.file.read(size - done), size)


def check_method(member: Member) -> None:
    """Refuse members that are encrypted or compressed by another method than deflate.

    Raises
    ------
    DamagedBundleError
    """
    if member.method not in (STORED, DEFLATED) or member.flags & ~UTF8_NAME:
        raise DamagedBundleError(
            f"{member.name} is stored in a way that this release of skmoe does not use (method "
            f"{member.method}, flags {member.flags:#x}): the archive is damaged, or was packed "
            f"anew by another tool. {AGAIN}"
        )


def read_all(read: Any, size: int) -> bytes:
    """Join the results of ``read(bytes so far)`` until there are `size` bytes or no more."""
    content = read(0)
    while len(content) < size and (more := read(len(content))):
        content += more
    return content


def file_descriptor(file: Any) -> int | None:
    """The descriptor of a file that the system knows; None for a file in memory."""
    try:
        return int(file.fileno())
    except (AttributeError, OSError):
        return None


def foreign_file(head: bytes, size: int) -> str:
    """Say what a file is that is no zip, and who can read it."""
    if size == 0:
        return f"the file is empty. {AGAIN}"
    if head[:1] == b"\x80" or head[:2] in (b"\x1f\x8b", b"x\x9c", b"x\x01", b"x^", b"x\xda"):
        return "this looks like a pickle and not like a bundle: try joblib.load, if you trust it"
    return "this is no bundle: it does not begin as a zip archive does. Is it the right file?"


def foreign_zip(names: Any) -> str:
    """Say what a zip archive is that is no bundle."""
    if "schema.json" in names:
        return "this is a skops file and not a bundle: try skops.io.load"
    return f"this is a zip archive but no bundle: it has no {MANIFEST}. Is it the right file?"
