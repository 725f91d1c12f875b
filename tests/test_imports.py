"""The architecture as a table, and what importing skmoe may and may not do."""

import ast
import importlib.metadata
import os
import subprocess
import sys
from fnmatch import fnmatchcase
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "skmoe"

# The floors of the house, from the roof down, and the rooms on each. A module imports from its
# own room or from a floor below, never from another room of its floor or from above. A room is a
# folder with all that is in it, or a file at the top. A new one needs a place here.
FLOORS = [
    {"the front": ["__init__", "__main__"]},
    {"graphs": ["onnx", "onnx.*"]},
    {
        "the bundle": ["io", "io.*"],
        "looking at models": ["inspection", "inspection.*"],
        "scores": ["metrics"],
        "raw tables": ["tables", "tables.*"],
    },
    {
        "estimators": ["_classifier", "_regressor", "_base", "_surgery", "_streaming", "_diagram"],
        "what files name": ["fitted"],
    },
    {"training": ["_training", "_training.*"]},
    {"predictive densities": ["_density", "_density.*"]},
    {"prediction": ["_prediction", "_prediction.*"]},
    {"the shared expert": ["_shared_expert", "_shared_expert.*"]},
    {"experts": ["_experts", "_experts.*"], "gates": ["gates", "gates.*"]},
    {"data": ["_data", "_data.*"]},
    {
        "arithmetic": ["_arithmetic", "_arithmetic.*"],
        "likelihoods": ["_likelihoods", "_likelihoods.*"],
        "data sets": ["datasets"],
    },
    {"compatibility": ["_compat", "_version"], "exceptions": ["exceptions"]},
]

# The solver knows what a gate is, but none of the gates that use it.
SOLVER, SOLVER_MAY_KNOW = "gates._solver", {"gates._base", "gates._features", "gates._terms"}

# These see what a user sees, so that whatever they need is public and stays so.
PUBLIC_ONLY = ["io", "io.*", "inspection", "inspection.*", "tables", "tables.*"]
PUBLIC_CLASSES = {"MixtureOfExpertsClassifier", "MixtureOfExpertsRegressor"}

# The loop takes gate, experts and likelihood as arguments and knows none of their classes.
LOOP = "_training.em"


def name_of(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def room_of(module):
    """The room of a module and its floor; (None, None) if it has none."""
    for floor, rooms in enumerate(FLOORS):
        for room, patterns in rooms.items():
            if any(fnmatchcase(module, pattern) for pattern in patterns):
                return room, floor
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
    """Imports that neither stay in the room nor go down."""
    room, floor = room_of(module)
    found = []
    for line, source, _ in imports_of(module):
        other, below = room_of(source)
        if other is None or (other != room and below <= floor):
            found.append(f"{module}:{line} imports {source}")
    return found


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_a_room(module):
    assert room_of(module)[0] is not None, f"skmoe.{module} is missing from FLOORS"


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module):
    assert not upward_imports(module)


def circle(graph):
    """Modules of an import circle, empty if there is none."""
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        return error.args[1]
    return []


def test_no_import_circle():
    graph = {m: {source for _, source, _ in imports_of(m)} - {m} for m in MODULES}
    assert circle(graph) == []
    assert circle({"a": {"b"}, "b": {"a"}})  # it would be found


def test_the_solver_knows_no_gate():
    for module in MODULES:
        if not module.startswith(f"{SOLVER}."):
            continue
        known = {s for _, s, _ in imports_of(module) if s.startswith("gates")}
        assert all(s in SOLVER_MAY_KNOW or s.startswith(SOLVER) for s in known), (module, known)


def test_the_top_is_small():
    private = [m for m in MODULES if "." not in m and m.startswith("_") and m[1] != "_"]
    files = [m for m in private if MODULES[m].name != "__init__.py"]
    assert len(files) <= 9, files


def test_the_map_names_every_room():
    if not (PACKAGE.parent / "CONTRIBUTING.md").exists():
        pytest.skip("no CONTRIBUTING.md beside the package")
    lines = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()
    rows = [line.split("|")[1:3] for line in lines if line.startswith("| `")]
    for path in map(str, sorted(each.relative_to(PACKAGE) for each in PACKAGE.rglob("*.py"))):
        room, _, file = path.rpartition("/")
        if file == "__init__.py":
            continue
        inside = [cell for named, cell in rows if f"`{room}/`" in named] if room else []
        here = inside or [named for named, _ in rows]
        assert any(f"`{file}`" in cell for cell in here), (
            f"the map of CONTRIBUTING.md lacks {path}"
        )


def test_the_table_would_catch_an_upward_import(tmp_path, monkeypatch):
    offender = tmp_path / "compiled.py"
    offender.write_text(
        "def late():\n    from ..gates import SoftmaxGate\n    import skmoe._training.em\n"
    )
    monkeypatch.setitem(MODULES, "_arithmetic.compiled", offender)
    assert sorted(upward_imports("_arithmetic.compiled")) == [
        "_arithmetic.compiled:2 imports gates",
        "_arithmetic.compiled:3 imports _training.em",
    ]


def test_relative_imports_are_resolved(tmp_path, monkeypatch):
    gate = tmp_path / "_softmax.py"
    gate.write_text("from .._compat import softmax\nfrom ._base import BaseGate\nfrom .. import x")
    monkeypatch.setitem(MODULES, "gates._softmax", gate)
    monkeypatch.setitem(MODULES, "gates._base", tmp_path / "_base.py")
    assert sorted(imports_of("gates._softmax")) == [
        (1, "_compat", "softmax"),
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
def test_what_is_above_the_estimators_uses_public_names_only(module):
    assert not list(private_attributes(MODULES[module]))
    for line, source, name in imports_of(module):
        foreign = source.split(".")[0] != module.split(".")[0] and source != "_version"
        private = source.split(".")[-1].startswith("_") and name not in PUBLIC_CLASSES
        assert not (foreign and (private or (name or "").startswith("_"))), (
            f"{module}:{line} imports {name or ''} of {source}"
        )


# Converters read what scikit-learn keeps to itself; of skmoe they see what is public.
CONVERTERS_OF_OTHERS = ["onnx._trees", "onnx._distances"]


@pytest.mark.parametrize("module", [m for m in MODULES if m.split(".")[0] == "onnx"])
def test_graphs_use_public_attributes_of_skmoe(module):
    if module in CONVERTERS_OF_OTHERS:
        pytest.skip("reads estimators of scikit-learn")
    private = [use for use in private_attributes(MODULES[module]) if "._replace" not in use]
    assert not private


def run_python(code):
    """Standard output of a new interpreter in which Numba compiles as usual."""
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_DISABLE_JIT"}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


# Subclasses of what an optional library has; imported where that library is needed.
OF_OPTIONAL_LIBRARIES = {"inspection._wide_frame"}

IMPORT_ALL = "import importlib, sys, skmoe\n" + "".join(
    f"importlib.import_module('skmoe.{module}')\n"
    for module in sorted(set(MODULES) - {"__init__"} - OF_OPTIONAL_LIBRARIES)
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
    call = "import numpy as np\nfrom skmoe._arithmetic.compiled import top_k\n"
    call += "top_k(np.ones((2, 2)), 1)\n"
    assert "top_k" in run_python(IMPORT_ALL + call + COMPILED)


def test_import_needs_no_optional_library():
    optional = ["matplotlib", "pandas", "polars", "pyarrow", "onnx", "skl2onnx", "onnxruntime"]
    absent = f"import sys\nfor name in {optional}:\n"
    assert run_python(absent + "    sys.modules[name] = None\n" + IMPORT_ALL) == []


def test_import_does_not_load_matplotlib():
    assert run_python(IMPORT_ALL + "print('matplotlib' in sys.modules)") == ["False"]


def test_version_is_that_of_the_installed_package():
    import skmoe

    assert skmoe.__version__ == importlib.metadata.version("skmoe")
