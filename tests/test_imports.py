"""The architecture as a table, and what importing skmoe may and may not do."""

import ast
import importlib.metadata
import os
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "skmoe"

# A module imports from the rows below its own, never from its own row or one above.  A new module
# needs a place here; "io.*" stands for all modules of a package, which may import one another.
LAYERS = [
    ["__init__", "__main__"],
    ["io", "io.*", "inspection", "inspection.*"],
    ["_classifier", "_regressor"],
    ["_base"],
    ["_prediction", "_surgery", "_training"],
    ["_kept", "_last_step", "_search"],
    ["_problem", "_shared"],
    ["_consensus", "_diagram", "_dispatch", "_em", "_exploration", "_lift", "_truncation"],
    ["_experts", "_init", "_likelihoods", "_routing", "_validation", "gates", "gates._judge"],
    ["gates._hierarchical"],
    ["gates._renormalised", "gates._softmax"],
    ["gates._classifier", "gates._cosine", "gates._gaussian"],
    ["gates._prepared"],
    ["gates._penalty", "gates._regularised"],
    ["gates._base", "gates._solver"],
    ["gates._quasi_newton", "gates._reduced"],
    ["gates._curvature", "gates._metric"],
    ["gates._design", "gates._packed", "gates._products"],
    ["_capacity", "_least_squares", "_quick_check", "_weights"],
    ["_arithmetic"],
    ["_kernels", "_plain", "_revive", "_threads", "_version", "datasets"],
]

# These see what a user sees, so that whatever they need is public and stays so.
PUBLIC_ONLY = ["io", "io.*", "inspection", "inspection.*"]

# The loop takes gate, experts and likelihood as arguments and knows none of their classes.
LOOP = "_em"


def name_of(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def pattern_and_row(module):
    for row, patterns in enumerate(LAYERS):
        for pattern in patterns:
            if fnmatchcase(module, pattern):
                return pattern, row
    return None, None


def import_statements(path):
    """Import nodes outside ``if TYPE_CHECKING``, those inside functions included."""
    pending = [ast.parse(path.read_text(encoding="utf-8"))]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending.extend(node.orelse)
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        pending.extend(ast.iter_child_nodes(node))


def resolve(module, path, node):
    """Pairs (module of skmoe, name taken from it or None) that an import statement refers to."""
    if isinstance(node, ast.Import):
        return [
            (alias.name.removeprefix("skmoe").removeprefix(".") or "__init__", None)
            for alias in node.names
            if alias.name.split(".")[0] == "skmoe"
        ]
    if node.level:
        package = [] if module == "__init__" else module.split(".")
        up = node.level - (path.name == "__init__.py" and module != "__init__")
        package = package[: len(package) - up] if up else package
        source = ".".join(package + (node.module.split(".") if node.module else []))
    elif (node.module or "").split(".")[0] == "skmoe":
        source = node.module.removeprefix("skmoe").removeprefix(".")
    else:
        return []
    pairs = []
    for alias in node.names:
        submodule = f"{source}.{alias.name}".removeprefix(".")
        if submodule in MODULES:
            pairs.append((submodule, None))
        else:
            pairs.append((source or "__init__", alias.name))
    return pairs


def imports_of(module):
    path = MODULES[module]
    return [
        (node.lineno, *pair)
        for node in import_statements(path)
        for pair in resolve(module, path, node)
    ]


def upward_imports(module):
    pattern, row = pattern_and_row(module)
    return [
        f"{module}:{line} imports {source}"
        for line, source, _ in imports_of(module)
        if (other := pattern_and_row(source))[1] is None
        or (other[1] <= row and not same_package(module, source, pattern))
    ]


def same_package(module, source, pattern):
    package = pattern.removesuffix(".*")
    return package in {"io", "inspection"} and source.split(".")[0] == module.split(".")[0]


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_a_layer(module):
    assert pattern_and_row(module)[0] is not None, f"skmoe.{module} is missing from LAYERS"


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module):
    assert not upward_imports(module)


def test_the_table_would_catch_an_upward_import(tmp_path, monkeypatch):
    offender = tmp_path / "_kernels.py"
    offender.write_text("def late():\n    from .gates import SoftmaxGate\n    import skmoe._em\n")
    monkeypatch.setitem(MODULES, "_kernels", offender)
    assert sorted(upward_imports("_kernels")) == [
        "_kernels:2 imports gates",
        "_kernels:3 imports _em",
    ]


def test_relative_imports_are_resolved(tmp_path, monkeypatch):
    gate = tmp_path / "_softmax.py"
    gate.write_text(
        "from .._kernels import softmax\nfrom ._base import BaseGate\nfrom .. import x"
    )
    monkeypatch.setitem(MODULES, "gates._softmax", gate)
    monkeypatch.setitem(MODULES, "gates._base", tmp_path / "_base.py")
    assert sorted(imports_of("gates._softmax")) == [
        (1, "_kernels", "softmax"),
        (2, "gates._base", "BaseGate"),
        (3, "__init__", "x"),
    ]
    package = tmp_path / "__init__.py"
    package.write_text("from ._softmax import SoftmaxGate\n")
    monkeypatch.setitem(MODULES, "gates", package)
    assert imports_of("gates") == [(1, "gates._softmax", "SoftmaxGate")]


def test_the_loop_knows_no_concrete_classes():
    for line, source, name in imports_of(LOOP):
        assert not source.startswith("gates"), f"{LOOP}:{line} imports {source}"
        is_function = name is not None and name.lstrip("_")[:1].islower()
        assert is_function, f"{LOOP}:{line} imports {name} of {source}"


def private_attributes(path):
    """Uses of ``something._name`` where something is not self or cls."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            own = isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}
            if not own and not (node.attr.startswith("__") and node.attr.endswith("__")):
                yield f"line {node.lineno}: {ast.unparse(node)}"


@pytest.mark.parametrize(
    "module", [m for m in MODULES if any(fnmatchcase(m, pattern) for pattern in PUBLIC_ONLY)]
)
def test_io_and_inspection_use_public_attributes_only(module):
    assert not list(private_attributes(MODULES[module]))
    for line, source, name in imports_of(module):
        foreign = source.split(".")[0] != module.split(".")[0] and source != "_version"
        private = source.split(".")[-1].startswith("_") and source != "__init__"
        assert not (foreign and (private or (name or "").startswith("_"))), (
            f"{module}:{line} imports {name or ''} of {source}"
        )


def run_python(code):
    """Standard output of a new interpreter in which Numba compiles as usual."""
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_DISABLE_JIT"}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


IMPORT_ALL = "import importlib, sys, skmoe\n" + "".join(
    f"importlib.import_module('skmoe.{module}')\n" for module in MODULES if module != "__init__"
)

COMPILED = """
for module in [m for n, m in sys.modules.items() if n.split(".")[0] == "skmoe"]:
    for name, value in vars(module).items():
        if getattr(value, "signatures", None) and hasattr(value, "py_func"):
            print(name)
"""


def test_import_compiles_nothing():
    assert run_python(IMPORT_ALL + COMPILED) == []


def test_a_compiled_kernel_would_be_seen():
    call = "import numpy as np\nfrom skmoe._kernels import top_k\ntop_k(np.ones((2, 2)), 1)\n"
    assert "top_k" in run_python(IMPORT_ALL + call + COMPILED)


def test_import_needs_no_optional_library():
    absent = "import sys\nfor name in ['matplotlib', 'pandas', 'polars', 'pyarrow']:\n"
    assert run_python(absent + "    sys.modules[name] = None\n" + IMPORT_ALL) == []


def test_import_does_not_load_matplotlib():
    assert run_python(IMPORT_ALL + "print('matplotlib' in sys.modules)") == ["False"]


def test_version_is_that_of_the_installed_package():
    import skmoe

    assert skmoe.__version__ == importlib.metadata.version("skmoe")
