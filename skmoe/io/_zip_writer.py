"""Writing a zip archive so that the same members give the same bytes, on any system.

Python's `zipfile` does it. What would depend on the day or the machine is fixed here, and members
are aligned, so that arrays in them can be memory-mapped.
"""

from __future__ import annotations

import hashlib
import struct
import zipfile
from typing import BinaryIO, NamedTuple

from ._archive import LOCAL_HEADER
from ._format import ALIGNMENT

READABLE_FILE = 0o100644 << 16

UNIX = 3

PADDING_ID = 0xD935
"""Identifier under which Android's zipalign pads; tools skip it."""

FIELD = struct.Struct("<2H")
"""Head of an extra field: its identifier, and the bytes that follow."""

FIELD_64_SIZE = 20
"""Bytes of the extra field with which `zipfile` gives a large member sizes of 64 bits."""


class Part(NamedTuple):
    """A member that is ready to be written.

    Attributes
    ----------
    name : str
    pieces : list of bytes
        The content.
    size : int
        Of the content.
    sha256 : str
        Of the content, hexadecimal.
    """

    name: str
    pieces: list[bytes]
    size: int
    sha256: str


def total_size(pieces: list[bytes]) -> int:
    """Bytes in all pieces together."""
    return sum(map(len, pieces))


def pack(name: str, pieces: list[bytes]) -> Part:
    """Hash a member; Python runs other threads meanwhile."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return Part(name, pieces, total_size(pieces), digest.hexdigest())


def write_archive(file: BinaryIO, parts: list[Part], compress: int) -> None:
    """Write an archive.

    Parameters
    ----------
    file : binary file object
        Empty and seekable: headers are completed after their members.
    parts : list of Part
    compress : int
        0 stores the members, 1 to 9 deflates them at this level.
    """
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(file, "w") as archive:
        for part in parts:
            info = zipfile.ZipInfo(part.name)  # of the first of January 1980
            info.create_system, info.external_attr = UNIX, READABLE_FILE
            info.extra = padding(file.tell(), part)
            archive.writestr(info, b"".join(part.pieces), method, compress or None)
            info.extra = b""  # the table of contents needs no padding


def padding(position: int, part: Part) -> bytes:
    """Extra field before a member, after which it starts at a multiple of `ALIGNMENT`."""
    start = position + LOCAL_HEADER.size + len(part.name.encode()) + FIELD.size
    if part.size * 1.05 > zipfile.ZIP64_LIMIT:  # as zipfile decides: it may grow when deflated
        start += FIELD_64_SIZE
    width = -start % ALIGNMENT
    return FIELD.pack(PADDING_ID, width) + b"\0" * width
