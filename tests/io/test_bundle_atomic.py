"""Whatever happens to the process or the disk, the old or the new file is there, and only that."""

import errno
import io
import os
import pickle
import random
import resource
import signal
import stat
import subprocess
import sys
import time

import numpy as np
import pytest
from bundle_models import X, fitted

import skmoe
from skmoe.io import _atomic

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals and permissions of Unix")

OLD, NEW = {"which": "old"}, {"which": "new"}


@pytest.fixture
def path(tmp_path):
    """Path of an old bundle."""
    path = tmp_path / "model.skmoe"
    skmoe.dump(fitted("ridge")[0], path, metadata=OLD)
    return path


def which(path):
    """The metadata of a bundle that has been verified."""
    return skmoe.io.verify(path).metadata


class Failure(Exception):
    pass


class Interrupted:
    """A file whose writes are wrapped."""

    def __init__(self, file, wrapped):
        self.file, self.write = file, wrapped(file.write)

    def __getattr__(self, name):
        return getattr(self.file, name)


class Failing:
    """Counts calls of functions and raises at one of them."""

    def __init__(self, monkeypatch, at):
        self.at, self.calls = at, 0
        for name in ("fsync", "replace", "chmod", "open", "stat", "listdir"):
            monkeypatch.setattr(_atomic.os, name, self.wrapped(getattr(os, name)))
        original = skmoe.io._writer.write_archive

        def write_archive(file, *arguments):
            original(Interrupted(file, self.wrapped), *arguments)

        monkeypatch.setattr(skmoe.io._writer, "write_archive", write_archive)

    def wrapped(self, function):
        def call(*arguments, **options):
            self.calls += 1
            if self.calls == self.at:
                raise Failure
            return function(*arguments, **options)

        return call


def test_an_exception_at_any_step_leaves_the_old_file(path):
    model, _ = fitted("ridge")
    for at in range(1, 1000):
        with pytest.MonkeyPatch.context() as monkeypatch:
            failing = Failing(monkeypatch, at)
            try:
                skmoe.dump(model, path, metadata=NEW)
            except Failure:
                pass
        renamed = which(path) == NEW
        assert os.listdir(path.parent) == ["model.skmoe"]
        if failing.calls < at:
            break
        # Only what comes after the rename, making it last, may fail with the new file there.
        assert not renamed or at >= failing.calls
    assert at > 40 and renamed


def test_the_content_is_on_the_disk_before_the_name_and_the_name_before_the_end(path, monkeypatch):
    """What a power failure leaves cannot be tried here; the order of the calls can."""
    calls = []

    def noted(name, function):
        def call(*arguments, **options):
            calls.append(name)
            if name == "fsync" and stat.S_ISDIR(os.fstat(arguments[0]).st_mode):
                calls[-1] = "fsync of the directory"
            return function(*arguments, **options)

        return call

    for name in ("fsync", "replace"):
        monkeypatch.setattr(_atomic.os, name, noted(name, getattr(os, name)))
    skmoe.dump(fitted("ridge")[0], path)
    assert calls == ["fsync", "replace", "fsync of the directory"]


def test_mode_and_link_are_kept(path, tmp_path):
    model, _ = fitted("ridge")
    path.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to(path)
    skmoe.dump(model, link, metadata=NEW)
    assert which(path) == NEW and link.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    before = os.umask(0o027)
    try:
        skmoe.dump(model, tmp_path / "fresh")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "fresh").stat().st_mode) == 0o640


def test_what_killed_writers_left_is_removed_and_nothing_else(path):
    model, _ = fitted("ridge")
    folder = path.parent
    dead = folder / ".model.skmoe.0123456789abcdef.tmp"
    others = [folder / ".model.skmoe.backup", folder / ".other.skmoe.0123456789abcdef.tmp"]
    alive = folder / ".model.skmoe.fedcba9876543210.tmp"
    for file in (dead, alive, *others):
        file.write_bytes(b"content")
    for file in (dead, *others):
        grow_old(file)
    skmoe.dump(model, path, metadata=NEW)
    assert not dead.exists()
    assert alive.exists() and all(file.exists() for file in others)


def grow_old(file):
    long_ago = time.time() - 2 * _atomic.ABANDONED
    os.utime(file, (long_ago, long_ago))


def test_devices_are_not_replaced(tmp_path):
    model, _ = fitted("ridge")
    with pytest.raises(OSError, match="no regular file"):
        skmoe.dump(model, "/dev/null")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="no regular file"):
        skmoe.dump(model, tmp_path / "pipe")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_full_device():
    with open("/dev/full", "wb", buffering=0) as file:
        with pytest.raises(OSError) as caught:
            skmoe.dump(fitted("ridge")[0], file)
    assert caught.value.errno == errno.ENOSPC


def test_folder_that_is_missing_or_cannot_be_written(tmp_path):
    model, _ = fitted("ridge")
    with pytest.raises(FileNotFoundError):
        skmoe.dump(model, tmp_path / "missing" / "model.skmoe")
    assert os.listdir(tmp_path) == []


# other processes --------------------------------------------------------------------------------

# Forks a child for each job, so that the slow imports happen once; the parent has one thread.
SERVER = """
import io, os, pickle, resource, signal, sys
import skmoe, skmoe.io._atomic
import sklearn.linear_model
model = pickle.load(open(sys.argv[1], "rb"))
skmoe.dump(model, io.BytesIO())  # compiles what the children need
print("ready", flush=True)
for line in sys.stdin:
    job, value, path = line.split()
    if job == "reap":
        print(os.waitpid(int(value), 0)[1], flush=True)
        continue
    child = os.fork()
    if child == 0:
        if job == "loop":  # until somebody kills this process
            number = 0
            print(os.getpid(), flush=True)
            while True:
                number += 1
                skmoe.dump(model, path, metadata={"which": f"{os.getpid()}-{number}"})
        if job == "limit":  # files may have so many bytes: a disk that is full
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(value), int(value)))
            try:
                skmoe.dump(model, path, metadata={"which": "new"})
            except OSError:
                os._exit(7)
            os._exit(0)
        if job == "step":  # dies before the n-th call of the system
            left = int(value)
            def mortal(function):
                def call(*arguments, **options):
                    global left
                    left -= 1
                    if left == 0:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return function(*arguments, **options)
                return call
            for name in ("open", "fsync", "chmod", "replace", "close", "unlink", "listdir"):
                setattr(os, name, mortal(getattr(os, name)))
            skmoe.dump(model, path, metadata={"which": "new"})
            os._exit(0)
    if job != "loop":
        print(os.waitpid(child, 0)[1], flush=True)
"""


class Server:
    """A process that dumps on demand, in children that may be killed."""

    def __init__(self, folder):
        pickled = folder / "model.pickle"
        pickled.write_bytes(pickle.dumps(fitted("forests")[0]))
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", SERVER, pickled],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert self.process.stdout.readline() == "ready\n"

    def ask(self, job, path, value=0):
        self.process.stdin.write(f"{job} {value} {path}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def stop(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    started = Server(tmp_path_factory.mktemp("server"))
    yield started
    started.stop()


def names(path):
    return sorted(os.listdir(path.parent))


def abandoned(path):
    """Remove what is beside a bundle as the next dump would in an hour; how much there was."""
    debris = [path.parent / name for name in names(path) if name != path.name]
    for file in debris:
        assert file.name.startswith(".model.skmoe.") and file.name.endswith(".tmp")
        grow_old(file)
    return len(debris)


@pytest.mark.parametrize("kills", [25, pytest.param(100, marks=pytest.mark.slow)])
def test_kill_at_a_random_time_leaves_a_whole_file(path, server, kills):
    rng, seen, span = random.Random(0), set(), 0.06
    for _ in range(kills):
        child = server.ask("loop", path)
        time.sleep(rng.uniform(0.0, span))
        os.kill(child, signal.SIGKILL)
        server.ask("reap", path, child)
        found = which(path)["which"]
        # About every other kill comes before the first dump ends, however slow the machine is.
        span *= 1.5 if found in seen else 0.7
        seen.add(found)
        assert abandoned(path) <= 1
    assert len(seen) > 2  # some were killed after a dump, and dumps succeeded
    skmoe.dump(fitted("ridge")[0], path)
    assert names(path) == ["model.skmoe"]


def test_kill_at_every_step(path, server):
    """Before the rename the old file is there, after it the new one."""
    found = []
    for step in range(1, 100):
        skmoe.dump(fitted("ridge")[0], path, metadata=OLD)
        assert names(path) == ["model.skmoe"]  # the dump has removed what was left
        status = server.ask("step", path, step)
        found.append(which(path)["which"])
        assert abandoned(path) <= 1
        if status == 0:
            break
    assert found == sorted(found, reverse=True)  # first old, then new
    assert found[0] == "old" and found[-1] == "new" and found.count("old") >= 3


def test_a_disk_that_is_full_at_any_byte(path, server):
    buffer = io.BytesIO()
    skmoe.dump(fitted("forests")[0], buffer, metadata=NEW)
    size = len(buffer.getvalue())
    for limit in [0, 1, 100, *range(3000, size, size // 12), size - 1]:
        assert os.waitstatus_to_exitcode(server.ask("limit", path, limit)) == 7, limit
        assert which(path) == OLD
        assert names(path) == ["model.skmoe"]
    assert server.ask("limit", path, 2 * size) == 0
    assert which(path) == NEW


@pytest.mark.parametrize("files", [6, pytest.param(300, marks=pytest.mark.slow)])
def test_load_while_others_dump(path, server, files):
    children = [server.ask("loop", path) for _ in range(2)]
    model, _ = fitted("forests")
    expected = model.predict_proba(X)
    seen, end = set(), time.monotonic() + 60
    try:
        while len(seen) < files and time.monotonic() < end:
            metadata = which(path)["which"]
            loaded = skmoe.load(path)
            if metadata != "old":
                np.testing.assert_array_equal(loaded.predict_proba(X), expected)
            seen.add(metadata)
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
    assert len(seen) > 3


def test_the_limit_of_file_sizes_was_not_set_here():
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
