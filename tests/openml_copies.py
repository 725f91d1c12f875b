"""Data of OpenML without a network: the copies that scikit-learn's own tests bring.

An example that calls ``fetch_openml`` finds them where it would find what it had downloaded
before.
"""

import shutil
from pathlib import Path

import sklearn.datasets

COPIES = Path(sklearn.datasets.__file__).parent / "tests" / "data" / "openml"
FILES = {
    "id_40945": {  # Titanic: all 1,309 rows
        "api-v1-jd-40945.json.gz": "api/v1/json/data/40945.gz",
        "api-v1-jdf-40945.json.gz": "api/v1/json/data/features/40945.gz",
        "api-v1-jdq-40945.json.gz": "api/v1/json/data/qualities/40945.gz",
        "data-v1-dl-16826755.arff.gz": "data/v1/download/16826755/Titanic.arff.gz",
    }
}
"""Folder -> file -> where `fetch_openml` looks for it."""


def are_there():
    """Whether this scikit-learn came with its tests."""
    return all((COPIES / folder / file).exists() for folder in FILES for file in FILES[folder])


def put_into(data_home):
    """Put the copies into a folder, for the environment variable ``SCIKIT_LEARN_DATA``."""
    for folder, files in FILES.items():
        for file, place in files.items():
            target = Path(data_home) / "openml" / "openml.org" / place
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(COPIES / folder / file, target)
