"""Writing a zip archive from front to back, byte by byte as the format of bundles demands.

Python's `zipfile` seeks back to complete its headers and writes what depends on the release of
Python. All sizes are known here before the first byte, so that the same members give the same
bytes in any release, on any system, and in any file object that can merely be written to.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from ._archive import DEFLATED, LOCAL_HEADER, STORED
from ._format import ALIGNMENT

CENTRAL_HEADER = struct.Struct("<4s6H3I5H2I")

END_RECORD = struct.Struct("<4s4H2IH")

END_RECORD_64 = struct.Struct("<4sQ2H2I4Q")

END_LOCATOR_64 = struct.Struct("<4sIQI")

LIMIT = 0xFFFFFFFF
"""Sizes and offsets from this on need the 64-bit records."""

COUNT_LIMIT = 0xFFFF


PLAIN_VERSION, VERSION_64 = 20, 45

MADE_ON_UNIX = 3 << 8

READABLE_FILE = 0o100644 << 16

FIRST_OF_JANUARY_1980 = 1 << 5 | 1

PADDING_ID = 0xD935
"""Identifier under which Android's zipalign pads; tools skip it."""


class Part(NamedTuple):
    """A member that is ready to be written.

    Attributes
    ----------
    name : str
    stored : list of bytes
        The content in pieces, deflated if it is to be.
    size : int
        Of the content.
    sha256 : str
        Of the content, hexadecimal.
    crc : int
        Of the content.
    method : int
    """

    name: str
    stored: list[bytes]
    size: int
    sha256: str
    crc: int
    method: int


class Entry(NamedTuple):
    """What the central directory says of a member that was written."""

    name: bytes
    offset: int
    stored_size: int
    size: int
    method: int
    crc: int


def pack(name: str, pieces: list[bytes], compress: int) -> Part:
    """Do everything that takes time with a member; Python runs other threads meanwhile.

    Parameters
    ----------
    name : str
    pieces : list of bytes
        The content.
    compress : int
        0 stores the content, 1 to 9 deflates it at this level.

    Returns
    -------
    part : Part
    """
    digest, crc = hashlib.sha256(), 0
    for piece in pieces:
        digest.update(piece)
        crc = zlib.crc32(piece, crc)
    stored = deflated(pieces, compress) if compress else pieces
    method = DEFLATED if compress else STORED
    return Part(name, stored, total_size(pieces), digest.hexdigest(), crc, method)


def total_size(pieces: list[bytes]) -> int:
    """Bytes in all pieces together."""
    return sum(map(len, pieces))


def archive_bytes(parts: list[Part]) -> Iterator[bytes]:
    """Yield a zip archive in pieces."""
    entries = []
    position = 0
    for part in parts:
        stored_size = total_size(part.stored)
        entry = Entry(part.name.encode(), position, stored_size, part.size, part.method, part.crc)
        header = local_header(entry)
        yield header
        yield from part.stored
        position += len(header) + stored_size
        entries.append(entry)
    directory = b"".join(map(central_header, entries))
    yield directory
    yield end_records(len(entries), position, len(directory))


def deflated(pieces: list[bytes], level: int) -> list[bytes]:
    """Content as a raw deflate stream."""
    deflator = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    return [*map(deflator.compress, pieces), deflator.flush()]


def local_header(entry: Entry) -> bytes:
    """Header before a member, padded so that the member starts at a multiple of `ALIGNMENT`."""
    large = max(entry.size, entry.stored_size) >= LIMIT
    extra = struct.pack("<2H2Q", 1, 16, entry.size, entry.stored_size) if large else b""
    # A padding field has 4 bytes of its own, so that the gap may have to be one step wider.
    start = entry.offset + LOCAL_HEADER.size + len(entry.name) + len(extra) + 4
    padding = -start % ALIGNMENT
    extra += struct.pack("<2H", PADDING_ID, padding) + b"\0" * padding
    return (
        LOCAL_HEADER.pack(
            b"PK\x03\x04",
            VERSION_64 if large else PLAIN_VERSION,
            0,
            entry.method,
            0,
            FIRST_OF_JANUARY_1980,
            entry.crc,
            LIMIT if large else entry.stored_size,
            LIMIT if large else entry.size,
            len(entry.name),
            len(extra),
        )
        + entry.name
        + extra
    )


def central_header(entry: Entry) -> bytes:
    """Entry of a member in the central directory."""
    large = [n for n in (entry.size, entry.stored_size, entry.offset) if n >= LIMIT]
    extra = struct.pack(f"<2H{len(large)}Q", 1, 8 * len(large), *large) if large else b""
    return (
        CENTRAL_HEADER.pack(
            b"PK\x01\x02",
            MADE_ON_UNIX | PLAIN_VERSION,
            VERSION_64 if large else PLAIN_VERSION,
            0,
            entry.method,
            0,
            FIRST_OF_JANUARY_1980,
            entry.crc,
            min(entry.stored_size, LIMIT),
            min(entry.size, LIMIT),
            len(entry.name),
            len(extra),
            0,
            0,
            0,
            READABLE_FILE,
            min(entry.offset, LIMIT),
        )
        + entry.name
        + extra
    )


def end_records(count: int, directory_offset: int, directory_size: int) -> bytes:
    """What closes an archive."""
    records = b""
    if count >= COUNT_LIMIT or max(directory_offset, directory_size) >= LIMIT:
        records = END_RECORD_64.pack(
            b"PK\x06\x06",
            END_RECORD_64.size - 12,
            MADE_ON_UNIX | VERSION_64,
            VERSION_64,
            0,
            0,
            count,
            count,
            directory_size,
            directory_offset,
        ) + END_LOCATOR_64.pack(b"PK\x06\x07", 0, directory_offset + directory_size, 1)
    count = min(count, COUNT_LIMIT)
    return records + END_RECORD.pack(
        b"PK\x05\x06",
        0,
        0,
        count,
        count,
        min(directory_size, LIMIT),
        min(directory_offset, LIMIT),
        0,
    )
