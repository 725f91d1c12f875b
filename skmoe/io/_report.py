"""The manifest as text for people."""

from __future__ import annotations

import textwrap
from itertools import zip_longest
from typing import Any

from ._format import VERSION

WIDTH, LINES = 78, 3
"""Longest value, about, in characters to a line and in lines; what is longer is cut."""


def report(manifest: Any) -> str:
    """Text of a manifest, whatever its entries hold."""
    model, training, golden = manifest.model, manifest.training, manifest.golden
    sizes = {str(member.get("name")): member.get("size") for member in manifest.members}
    lines = [f"skmoe bundle, format {clean(manifest.format_version)}{newer(manifest)}"]
    lines += field("model", model.get("class"))
    lines += field("features", features(model))
    if model.get("classes") is not None:
        lines += field("classes", model["classes"])
    if model.get("gate") is not None:
        lines += field("gate", model["gate"])
    for mixture in manifest.mixtures:
        lines += field("contains", f"{clean(mixture.get('where'))}: {clean(mixture.get('class'))}")
    for number, expert in enumerate(manifest.experts):
        text = f"{clean(expert.get('name'))}: {clean(expert.get('type'))}"
        size = human_size(sizes.get(str(expert.get("member"))))
        lines += field("experts" if number == 0 else "", f"{text}, {size}")
    lines += field("training", trained(training))
    lines += field("parameters", pairs(model.get("parameters")))
    rows = golden.get("source")
    lines += field("golden rows", "none" if rows is None else f"{clean(rows)}")
    lines += field("payload", payload(manifest))
    lines += field("signature", "present (not verified)" if manifest.signed else "none")
    lines += field("saved with", pairs(manifest.versions))
    if manifest.metadata:
        lines += field("metadata", pairs(manifest.metadata))
    return "\n".join(lines)


def newer(manifest: Any) -> str:
    """Say that a format is newer than this release, and may not be understood."""
    version = manifest.format_version
    known = isinstance(version, int) and version <= VERSION
    return "" if known else f" (this skmoe knows up to {VERSION}; entries may be missing)"


def features(model: dict[str, Any]) -> str:
    """Number and names of the features."""
    count, names = clean(model.get("n_features")), model.get("feature_names")
    return f"{count}: {clean(names)}" if isinstance(names, list) else count


def trained(training: dict[str, Any]) -> str:
    """Figures of the training that fit on a line."""
    keys = ("rows", "log_likelihood", "n_iter", "converged", "overlap")
    return pairs({key: training[key] for key in keys if key in training})


def payload(manifest: Any) -> str:
    """How experts are stored, and what that means."""
    meaning = {
        "joblib": "joblib (pickles: loading executes code)",
        "skops": "skops (no pickles)",
    }
    return meaning.get(str(manifest.payload), clean(manifest.payload))


def field(title: str, value: Any) -> list[str]:
    """A value beside its title, on as few lines as it takes."""
    lines = textwrap.wrap(clean(value), WIDTH, max_lines=LINES, placeholder=" ...") or [""]
    return [
        f"  {heading:<12} {line}" for heading, line in zip_longest([title], lines, fillvalue="")
    ]


def pairs(values: Any) -> str:
    """Names and values on a line."""
    if not isinstance(values, dict):
        return clean(values)
    return ", ".join(f"{clean(name)} {clean(value)}" for name, value in values.items())


def clean(value: Any) -> str:
    """Text without control characters, which could play tricks with a terminal."""
    if isinstance(value, list):
        return "[" + ", ".join(map(clean, value)) + "]"
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return "".join(c if c.isprintable() else "?" for c in text)


def human_size(size: Any) -> str:
    """Bytes in a unit that reads well."""
    if not isinstance(size, int):
        return "unknown size"
    amount, unit = float(size), "B"
    for larger in ("kB", "MB", "GB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.3g} {unit}"
