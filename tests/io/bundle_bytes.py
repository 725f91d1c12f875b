"""Bundles whose bytes were tampered with, consistently or not."""

import hashlib
import io
import json
import zipfile

from bundle_models import (
    UNPICKLED,
    Telltale,
    X,
    Y,
    regressor,
    saved,
)

import skmoe
from skmoe.io._archive import Archive
from skmoe.io._json import to_json
from skmoe.io._zip_writer import pack, write_archive

KEY = b"0123456789abcdef0123456789abcdef"
MODEL = regressor(Telltale()).fit(X, Y)
GOOD = saved(MODEL)
COMPRESSED = saved(MODEL, compress=6)
SIGNED = saved(MODEL, key=KEY)


def members(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(contents, compress=0):
    """Archive of (name, content) pairs in the layout of bundles."""
    pairs = contents.items() if isinstance(contents, dict) else contents
    buffer = io.BytesIO()
    write_archive(buffer, [pack(name, [content]) for name, content in pairs], compress)
    return buffer.getvalue()


def with_manifest(content, edit, **contents):
    """Bundle with other contents, and a manifest that agrees with them before it is edited."""
    new = members(content) | contents
    manifest = json.loads(new["manifest.json"])
    for entry in manifest["members"]:
        own = new[entry["name"]]
        entry["size"], entry["sha256"] = len(own), hashlib.sha256(own).hexdigest()
    edit(manifest)
    return zipped(new | {"manifest.json": to_json(manifest)})


def edited(**entries):
    return with_manifest(GOOD, lambda manifest: manifest.update(entries))


def changed(name, content, **more):
    """Bundle in which one member differs from what the manifest says."""
    return zipped(members(GOOD) | {name: content})


def flipped(content, where, bit=1):
    return content[:where] + bytes([content[where] ^ bit]) + content[where + 1 :]


def position(content, name):
    archive = Archive(io.BytesIO(content))
    return archive.data_offset(archive.names[name])


def load(content, **options):
    UNPICKLED.clear()
    return skmoe.load(io.BytesIO(content), **options)
