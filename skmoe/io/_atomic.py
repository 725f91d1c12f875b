"""Replacing a file so that, whatever happens, the old or the new one is there.

The new content goes to a hidden file beside the target, reaches the disk, and then takes the
target's name in one step. A process that is killed leaves the hidden file behind, which does no
harm and which a later writer of the same target removes.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import time
from collections.abc import Iterator
from typing import BinaryIO

ABANDONED = 3600.0
"""Seconds without a word from its writer after which a temporary file is abandoned."""


@contextlib.contextmanager
def replacing(path: str) -> Iterator[BinaryIO]:
    """Open a file whose content replaces that of `path` when the block ends without an error.

    Parameters
    ----------
    path : str
        A symbolic link is followed. The mode of an existing file is kept.

    Yields
    ------
    file : binary file object

    Raises
    ------
    OSError
        Also if `path` is a directory, a device or a pipe.
    """
    target = os.path.realpath(path)
    mode = mode_of(target)
    folder, name = os.path.split(target)
    prefix = f".{name}."
    remove_abandoned(folder, prefix)
    temporary = os.path.join(folder, f"{prefix}{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            if mode is not None:
                os.chmod(temporary, mode)
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    sync_directory(folder)


def check_target(path: str) -> None:
    """Raise at once what `replacing` would after the work is done, if the path is a wrong one.

    Raises
    ------
    OSError
        If it is a directory, a device or a pipe, or in a directory that does not exist.
    """
    target = os.path.realpath(path)
    mode_of(target)
    os.stat(os.path.dirname(target))


def mode_of(target: str) -> int | None:
    """Permissions of a regular file; None if there is no file."""
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(f"{target} is a directory; give the name of a file in it")
    if not stat.S_ISREG(mode):
        raise OSError(f"{target} is no regular file and cannot be replaced; give an open file")
    return stat.S_IMODE(mode)


def remove_abandoned(folder: str, prefix: str) -> None:
    """Remove temporary files for the same target whose writers must be dead."""
    for name in os.listdir(folder):
        if name.startswith(prefix) and name.endswith(".tmp"):
            path = os.path.join(folder, name)
            with contextlib.suppress(OSError):
                if time.time() - os.stat(path).st_mtime > ABANDONED:
                    os.unlink(path)


def sync_directory(folder: str) -> None:
    """Make a rename in a directory last through a power failure."""
    if os.name == "nt":  # directories cannot be opened there
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
