"""The on-disk cache of compiled code: damaged, full, and of another version of the source."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # each process compiles, or imports Numba

CALL = """
import sys, warnings
import numpy as np
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from skmoe._arithmetic import compiled
    if len(sys.argv) > 1:
        compiled.SOURCE_HASH = sys.argv[1]
    for function in (compiled.top_k, compiled.top_k):
        print(function(np.array([[0.2, 0.8]]), 1)[0])
    compiled.linear_top_k(np.ones((1, 2)), np.ones((3, 2)), np.zeros(3), 1)
for warning in caught:
    print(warning.category.__name__, warning.message)
print("hits", sum(compiled.top_k.stats.cache_hits.values()))
"""


def call(cache, *arguments):
    """What a new process with this cache prints."""
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_DISABLE_JIT"}
    result = subprocess.run(
        [sys.executable, "-c", CALL, *arguments],
        capture_output=True,
        text=True,
        env=environment | {"NUMBA_CACHE_DIR": str(cache)},
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    assert "hits 0" in call(folder)
    return folder


def test_the_cache_serves_the_next_process(cache):
    said = call(cache)
    assert "hits 1" in said and "Warning" not in said


def test_what_another_source_compiled_is_not_taken(cache):
    assert "hits 0" in call(cache, "another")


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
@pytest.mark.parametrize("size", [0, 20])
def test_damaged_files(cache, suffix, size):
    files = [path for path in Path(cache).rglob(f"*{suffix}")]
    before = {path: path.read_bytes() for path in files}
    try:
        for path in files:
            path.write_bytes(before[path][:size])
        said = call(cache)
    finally:
        for path, content in before.items():
            path.write_bytes(content)
    assert said.count("[[1]]") == 2
    assert said.count("RuntimeWarning") == 1  # not one for each kernel
    assert "delete the folder" in said and str(cache) in said
