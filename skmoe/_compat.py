"""Files of earlier releases: what classes were called in them, and what their states held.

Pickles, joblib's files, and skops' and bundles' state name classes by module, and hold attributes
by name. `FORMER_CLASSES` is the one table of names, `MIGRATIONS` that of attributes; all these
files are read with the help of both, since they import modules and call ``__setstate__``.

A class that ends up in such a file has the public name of `skmoe`, `skmoe.gates` or
`skmoe.fitted`, so that the tables do not have to grow when a private module moves.
"""

from __future__ import annotations

import dataclasses
import importlib
import sys
from importlib.machinery import ModuleSpec
from inspect import Parameter, signature
from types import ModuleType
from typing import Any

import numpy as np

FORMER_CLASSES = {
    "skmoe._classifier.MixtureOfExpertsClassifier": "skmoe.MixtureOfExpertsClassifier",
    "skmoe._regressor.MixtureOfExpertsRegressor": "skmoe.MixtureOfExpertsRegressor",
    "skmoe._likelihoods.Categorical": "skmoe.fitted.Categorical",
    "skmoe._likelihoods.Gaussian": "skmoe.fitted.Gaussian",
    "skmoe._likelihoods.Laplace": "skmoe.fitted.Laplace",
    "skmoe._routing.Utilization": "skmoe.fitted.Utilization",
    "skmoe._lift.Lift": "skmoe.fitted.Lift",
    "skmoe._shared.SharedExpert": "skmoe.fitted.SharedExpert",
    "skmoe._consensus.Consensus": "skmoe.fitted.Consensus",
    "skmoe._consensus.MeanBlend": "skmoe.fitted.MeanBlend",
    "skmoe._consensus.ClassBlend": "skmoe.fitted.ClassBlend",
    "skmoe._consensus.LinearClassBlend": "skmoe.fitted.LinearClassBlend",
    "skmoe.gates._classifier.ClassifierGate": "skmoe.gates.ClassifierGate",
    "skmoe.gates._cosine.CosineGate": "skmoe.gates.CosineGate",
    "skmoe.gates._gaussian.GaussianGate": "skmoe.gates.GaussianGate",
    "skmoe.gates._hierarchical.HierarchicalGate": "skmoe.gates.HierarchicalGate",
    "skmoe.gates._softmax.SoftmaxGate": "skmoe.gates.SoftmaxGate",
    "skmoe.gates._renormalised.RenormalisedGate": "skmoe.fitted.RenormalisedGate",
    "skmoe.gates._design.Scaling": "skmoe.fitted.Scaling",
    "skmoe.gates._products.Products": "skmoe.fitted.Products",
    "skmoe.inspection._drift.RoutingDrift": "skmoe.inspection.RoutingDrift",
}
"""Names of classes in old files -> where they are today."""


def name_publicly(namespace: dict[str, Any]) -> None:
    """Give classes that a public module exports its name: where files will look for them.

    A class that has the name of another public module keeps it.

    Parameters
    ----------
    namespace : dict
        The module's ``globals()``.
    """
    for name in namespace["__all__"]:
        value = namespace.get(name)
        if isinstance(value, type) and "._" in value.__module__:
            value.__module__ = namespace["__name__"]


class FormerModules:
    """Finds modules that are there no more but that old files name.

    It is the last finder that Python asks, so that it costs nothing where a module exists.
    """

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Say that a module can be had if it is one of the table."""
        if any(former.rpartition(".")[0] == name for former in FORMER_CLASSES):
            return ModuleSpec(name, self)  # type: ignore[arg-type]
        return None

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave it to Python to make an empty module."""

    def exec_module(self, module: ModuleType) -> None:
        """Fill a module with the classes that used to be there."""
        for former, today in FORMER_CLASSES.items():
            home, _, name = former.rpartition(".")
            if home == module.__name__:
                place, _, attribute = today.rpartition(".")
                setattr(module, name, getattr(importlib.import_module(place), attribute))


sys.meta_path.append(FormerModules())  # type: ignore[arg-type]


def migrated_mixture(state: dict[str, Any]) -> dict[str, Any]:
    """State of a mixture: before 0.1 `overlap` was called share."""
    renamed = {"share": "overlap", "share_": "overlap_"}
    state = {renamed.get(name, name): value for name, value in state.items()}
    if "history_" in state:
        renamed = {"expert_share": "expert_mass"}
        history = state["history_"].items()
        state["history_"] = {renamed.get(name, name): value for name, value in history}
    if "utilization_" in state and "surgery_" not in state and state.get("shared_weight_"):
        # From before a utilization knew that a shared expert has a part in what is said.
        shared_weight = state["shared_weight_"]
        state["utilization_"] = state["utilization_"].beside_shared(shared_weight)
    return state


def migrated_utilization(state: dict[str, Any]) -> dict[str, Any]:
    """State of a `Utilization`: before 0.1 there were fractions of rows led, and rows asked."""
    if "gate_mass" not in state:  # before 0.1 the shared expert was left out
        state = state | {"gate_mass": state["mass"]}
    if "rows" not in state:
        return state
    n_rows = np.rint(state["mean_weight"] @ state["rows"])  # the weights of a row sum to 1
    led = np.rint(state["top"] * n_rows).astype(state["rows"].dtype)
    return state | {"rows_asked": state["rows"], "rows_led": led}


def migrated_softmax_gate(state: dict[str, Any]) -> dict[str, Any]:
    """State of a `SoftmaxGate`: before 0.1 it had a degree, and before that it was linear."""
    former = state.get("degree", 1)
    names = {1: "linear", 2: "products"}
    if "terms" in state:
        late = "coef_" in state and "alpha_" not in state  # from when alpha was a number
        return state | {"alpha_": state["alpha"]} if late else state
    renamed = {"product_coef_": "term_coef_", "products_": "terms_"}
    state = {renamed.get(name, name): value for name, value in state.items() if name != "degree"}
    state = {"terms": names.get(former, former)} | state
    if "coef_" in state:
        no_terms = {"term_coef_": state["coef_"][:, :0], "terms_": None}
        state = no_terms | {"alpha_": state["alpha"]} | state  # from when alpha was a number
    return state


MIGRATIONS = {
    "skmoe.gates.SoftmaxGate": migrated_softmax_gate,
    "skmoe.MixtureOfExpertsClassifier": migrated_mixture,
    "skmoe.MixtureOfExpertsRegressor": migrated_mixture,
    "skmoe.fitted.Utilization": migrated_utilization,
}
"""What turns the state that an old file holds into one of today, by class."""


def migrated(kind: type, state: dict[str, Any]) -> dict[str, Any]:
    """State of today, whatever release wrote it; that of a subclass, too."""
    for base in kind.__mro__:
        migrate = MIGRATIONS.get(f"{base.__module__}.{base.__qualname__}")
        state = migrate(state) if migrate else state
    return state


class RevivedWithDefaults:
    """Reads states of earlier releases; a parameter that these did not know gets its default.

    To be inherited before `BaseEstimator`, whose ``__setstate__`` does the rest.
    """

    def __setstate__(self, state):
        defaults = {
            name: parameter.default
            for name, parameter in signature(type(self).__init__).parameters.items()
            if parameter.default is not Parameter.empty
        }
        super().__setstate__(defaults | migrated(type(self), state))  # type: ignore[misc]


class Record:
    """Base of the dataclasses that a fitted model holds; reads states of earlier releases.

    A field that a state lacks gets its default, or None; what is no field is left out, of states
    that are written, too: it can be made again.
    """

    def __getstate__(self):
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]

    def __setstate__(self, state):
        state = migrated(type(self), state)
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            # Fields are frozen for everybody else.
            object.__setattr__(self, field.name, state.get(field.name, default_of(field)))


def default_of(field: dataclasses.Field) -> Any:
    """Default of a field of a dataclass; None if it has none."""
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None if field.default is dataclasses.MISSING else field.default
