"""The manifest: what a bundle says about itself, to people and to `load`."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np

from ._errors import DamagedBundleError, FormatVersionError, NotABundleError
from ._format import FORMAT, VERSION
from ._json import from_json
from ._state import class_name, is_mixture

LONGEST_TEXT = 500
"""Characters of a parameter's representation that are kept."""

ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")

LINE_BREAK = re.compile(r"\n\s*")

SUMMARY = (
    "log_likelihood_",
    "converged_",
    "n_iter_",
    "overlap_",
    "shared_weight_",
    "scale_",
    "floor_",
)

REPORTS = ("lift_", "utilization_", "surgery_", "history_")


def describe(model: Any) -> dict[str, Any]:
    """What the manifest says of a fitted mixture, or of what contains some, as plain values."""
    names = getattr(model, "feature_names_in_", None)
    classes = getattr(model, "classes_", None)
    return {
        "class": type_name(model),
        "parameters": {
            name: text_of(value) for name, value in sorted(model.get_params(deep=False).items())
        },
        "n_features": getattr(model, "n_features_in_", None),
        "feature_names": readable(names),
        "classes": readable(classes),
        "classes_dtype": classes_dtype(classes),
        "gate": type_name(model.gate_) if is_mixture(type(model)) else None,
    }


def classes_dtype(classes: Any) -> Any:
    """Data type of labels, or a list of those of several outputs."""
    if classes is None:
        return None
    several = isinstance(classes, list | tuple)
    return [str(own.dtype) for own in classes] if several else str(classes.dtype)


def describe_training(model: Any) -> dict[str, Any]:
    """What the manifest says of the training, as plain values."""
    summary: dict[str, Any] = {}
    if hasattr(model, "utilization_"):  # not so after an expert was dropped without data
        summary["rows"] = int(model.utilization_.rows_led.sum())
    for name in (*SUMMARY, *REPORTS):
        if hasattr(model, name):
            summary[name.rstrip("_")] = readable(getattr(model, name))
    return summary


def readable(value: Any) -> Any:
    """Plain values that say the same to a reader: not meant to be turned back."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: readable(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, np.ndarray | np.generic):
        return readable(value.tolist())
    if isinstance(value, dict):
        return {str(key): readable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [readable(item) for item in value]
    if isinstance(value, float):
        return value if np.isfinite(value) else repr(value)
    return value if value is None or isinstance(value, bool | int | str) else text_of(value)


def text_of(value: Any) -> str:
    """Representation on one line, not too long, without addresses: they differ between runs."""
    text = ADDRESS.sub("", LINE_BREAK.sub(" ", repr(value)))
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 3] + "..."


def type_name(value: Any) -> str:
    """Name of the class of an object, also of one that is loaded when it is needed."""
    kind = value.__class__
    return class_name(kind) or f"{kind.__module__}.{kind.__qualname__}"


def parse_manifest(content: bytes) -> dict[str, Any]:
    """Entries of a manifest of any format version.

    Raises
    ------
    NotABundleError, DamagedBundleError
    """
    try:
        entries = from_json(content)
    except ValueError as error:
        raise DamagedBundleError(
            f"manifest.json is not valid JSON ({error}). Get the bundle again from its source"
        ) from error
    if not isinstance(entries, dict) or entries.get("format") != FORMAT:
        raise NotABundleError(
            "this is a zip archive with a manifest of something else than skmoe. "
            "Is it the right file?"
        )
    return entries


def format_version(entries: dict[str, Any]) -> int:
    """Format version of a manifest, if this release reads it.

    Raises
    ------
    FormatVersionError, DamagedBundleError
    """
    version = entries.get("format_version")
    if type(version) is not int or version < 1:
        raise DamagedBundleError(f"the format version {version!r} is no positive number")
    if version > VERSION:
        raise FormatVersionError(
            f"the bundle has format version {version}, and this release of skmoe reads versions "
            f"up to {VERSION}. Upgrade skmoe; skmoe.read_manifest shows what the bundle says"
        )
    return version


def check_entries(entries: dict[str, Any]) -> None:
    """Check the types of all entries that loading relies on.

    Raises
    ------
    DamagedBundleError
    """
    problems = [
        name
        for name, valid in {
            "members": is_list_of(entries.get("members"), name=str, size=int, sha256=str),
            "experts": is_list_of(entries.get("experts"), name=str, type=str, member=str),
            "payload": isinstance(entries.get("payload"), str),
            "versions": isinstance(entries.get("versions"), dict),
            "model": is_list_of([entries.get("model")], **{"class": str}),
            "golden": entries.get("golden") is None
            or is_list_of([entries["golden"]], source=str, rows=dict, experts=list),
        }.items()
        if not valid
    ]
    if problems:
        raise DamagedBundleError(
            f"the manifest's entries {problems} are missing or malformed. "
            "Get the bundle again from its source"
        )


def is_list_of(value: Any, **types: type) -> bool:
    """Whether a value is a list of dicts that have entries of these types."""
    return isinstance(value, list) and all(
        isinstance(item, dict)
        and all(isinstance(item.get(name), kind) for name, kind in types.items())
        for item in value
    )


@dataclasses.dataclass(frozen=True, repr=False)
class Manifest:
    """What a bundle says about itself.

    The attributes are empty where a bundle of a newer format lacks the entry or has it in another
    form.

    Attributes
    ----------
    entries : dict
        The whole manifest.
    signed : bool
        Whether the bundle has a signature; `verify` and `load` compare it when given a key.
    """

    entries: dict[str, Any]
    signed: bool

    def _part(self, name: str) -> dict[str, Any]:
        part = self.entries.get(name)
        return part if isinstance(part, dict) else {}

    def _list(self, name: str) -> list[dict[str, Any]]:
        items = self.entries.get(name)
        return [i for i in items if isinstance(i, dict)] if isinstance(items, list) else []

    @property
    def format_version(self) -> Any:
        """Version of the format."""
        return self.entries.get("format_version")

    @property
    def payload(self) -> Any:
        """How experts are stored: "joblib" (pickles) or "skops"."""
        return self.entries.get("payload")

    @property
    def versions(self) -> dict[str, Any]:
        """Versions of the packages that the model was saved with."""
        return self._part("versions")

    @property
    def model(self) -> dict[str, Any]:
        """Class, parameters, features and classes."""
        return self._part("model")

    @property
    def experts(self) -> list[dict[str, Any]]:
        """Name, type and member of each expert."""
        return self._list("experts")

    @property
    def mixtures(self) -> list[dict[str, Any]]:
        """Place, class, parameters and training of each mixture that the model contains.

        Empty if the model is a mixture itself.
        """
        return self._list("mixtures")

    @property
    def training(self) -> dict[str, Any]:
        """Rows, log-likelihood, shared weight, lift, utilization and history of the training."""
        return self._part("training")

    @property
    def golden(self) -> dict[str, Any]:
        """A few rows, and the predictions of the saved model; empty if there are none."""
        return self._part("golden")

    @property
    def metadata(self) -> dict[str, Any]:
        """What the user gave to `dump`."""
        return self._part("metadata")

    @property
    def members(self) -> list[dict[str, Any]]:
        """Name, size and SHA-256 of each member but the manifest and its signature."""
        return self._list("members")

    def __repr__(self) -> str:
        from ._report import report

        return report(self)
