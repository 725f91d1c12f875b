"""Replacing a file so that, whatever happens, the old or the new one is there, and nothing else.

The new content goes to a file beside the target, reaches the disk, and then takes the target's
name in one step. On Linux that file has no name until it is complete, so that even a process that
is killed leaves nothing behind. Elsewhere it has a hidden name from the start, and a lock that
dies with its process: the next writer of the same target removes what a killed one left.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


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
    descriptor, nameless = open_temporary(folder, temporary)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            yield file
            file.flush()
        if mode is not None and hasattr(os, "fchmod"):
            os.fchmod(descriptor, mode)
        os.fsync(descriptor)
        if nameless:
            give_name(descriptor, temporary)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    finally:
        os.close(descriptor)
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


def open_temporary(folder: str, temporary: str) -> tuple[int, bool]:
    """Descriptor of an empty, locked file, and whether it has no name yet."""
    if hasattr(os, "O_TMPFILE") and os.path.isdir("/proc/self/fd"):
        try:
            descriptor = os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o666)
        except OSError:  # a file system without nameless files, or a mistake that shows below
            pass
        else:
            lock(descriptor)
            return descriptor, True
    flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0)
    while True:
        descriptor = os.open(temporary, flags, 0o666)
        lock(descriptor)
        # Between opening and locking, another writer may have taken the file for abandoned.
        if os.fstat(descriptor).st_nlink or fcntl is None:
            return descriptor, False
        os.close(descriptor)


def give_name(descriptor: int, name: str) -> None:
    """Link a nameless file into its directory."""
    root = os.open("/proc/self/fd", os.O_RDONLY)
    try:  # with a directory's descriptor Python calls linkat, which follows the link in /proc
        os.link(str(descriptor), name, src_dir_fd=root, follow_symlinks=True)
    finally:
        os.close(root)


def lock(descriptor: int, wait: bool = True) -> bool:
    """Lock a file until its descriptor is closed; False if somebody else has it locked."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:  # locked, or a file system without locks
        return False
    return True


def remove_abandoned(folder: str, prefix: str) -> None:
    """Remove temporary files for the same target whose writers are dead."""
    if fcntl is None:
        return
    for name in os.listdir(folder):
        if name.startswith(prefix) and name.endswith(".tmp"):
            path = os.path.join(folder, name)
            with contextlib.suppress(OSError):
                descriptor = os.open(path, os.O_RDWR)
                try:
                    if lock(descriptor, wait=False):
                        os.unlink(path)
                finally:
                    os.close(descriptor)


def sync_directory(folder: str) -> None:
    """Make a rename in a directory last through a power failure."""
    if os.name == "nt":  # directories cannot be opened there
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
