"""``python -m skmoe inspect model.skmoe`` and ``python -m skmoe verify model.skmoe``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ._version import __version__
from .io import BundleError, read_manifest, verify


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 0 if the bundle is fine, 1 if something is wrong with it."""
    options = parser().parse_args(arguments)
    try:
        if options.command == "inspect":
            manifest = read_manifest(options.file)
            _show(json.dumps(manifest.entries, indent=1) if options.json else manifest)
        else:
            key = options.key_file and options.key_file.read_bytes()
            manifest = verify(options.file, key=key)
            signature = "signature verified" if key else "signature not looked at"
            if not manifest.signed:
                signature = "not signed"
            count = len(manifest.members)
            print(f"{options.file}: {count} members match their hashes, {signature}")
    except (BundleError, OSError, ValueError) as error:
        print(f"{options.file}: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def _show(text: object) -> None:
    """Print what may be long, to a reader that may have read enough, such as ``head``."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the last flush


def parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    top = argparse.ArgumentParser(
        prog="python -m skmoe", description="Look at bundles without executing anything in them."
    )
    top.add_argument("--version", action="version", version=f"skmoe {__version__}")
    commands = top.add_subparsers(dest="command", required=True)
    show = commands.add_parser("inspect", help="print what a bundle says about itself")
    show.add_argument("file")
    show.add_argument("--json", action="store_true", help="print the whole manifest")
    check = commands.add_parser("verify", help="compare all sizes, hashes and the signature")
    check.add_argument("file")
    check.add_argument(
        "--key-file", type=Path, help="file whose bytes, all of them, are the key of the signature"
    )
    return top


if __name__ == "__main__":
    sys.exit(main())
