"""The examples run as a user would run them, and say what they promise."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"


def run(script, directory, **environment):
    """Run a script in an empty directory; returns what it printed."""
    search_path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-W", "error::FutureWarning", str(EXAMPLES / script)],
        cwd=directory,
        env={**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": search_path, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr, done.stderr
    return done.stdout


def test_each_script_has_its_test():
    scripts = {path.name for path in EXAMPLES.glob("[!_]*.py")}
    assert scripts == {
        "demo.py",
        "mixed_columns.py",
        "plot_inspection.py",
        "plot_piecewise.py",
        "pool_of_experts.py",
    }


def test_piecewise_recovers_the_regimes(tmp_path):
    pytest.importorskip("matplotlib")
    printed = run("plot_piecewise.py", tmp_path)
    agreement = float(printed.split("expert of their regime: ")[1].split("%")[0])
    assert agreement > 95
    assert (tmp_path / "examples" / "output" / "piecewise.png").stat().st_size > 10_000


def test_inspection_tells_old_rows_from_new(tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("pandas")
    printed = run("plot_inspection.py", tmp_path)
    # p-values of masses and of densities: of like patients, then of heavier ones
    values = [
        float(line.split("p-value ")[1]) for line in printed.splitlines() if "p-value" in line
    ]
    assert min(values[:2]) > 0.01 and max(values[2:]) < 1e-6
    assert (tmp_path / "examples" / "output" / "inspection.png").stat().st_size > 10_000


def test_mixed_columns_beats_one_ridge(tmp_path):
    pytest.importorskip("pandas")
    printed = run("mixed_columns.py", tmp_path)
    line = next(line for line in printed.splitlines() if line.startswith("R2"))
    ridge, mixture = (float(part.split()[-1]) for part in line.split(","))
    assert mixture > ridge


def test_pool_of_experts_survives_saving(tmp_path):
    assert "the same predictions after loading: True" in run("pool_of_experts.py", tmp_path)


@pytest.mark.slow
def test_demo(tmp_path):
    pytest.importorskip("matplotlib")
    printed = run("demo.py", tmp_path)
    assert printed.count("bit-identical") == 4
    assert (tmp_path / "build" / "demo" / "demo.png").stat().st_size > 10_000
