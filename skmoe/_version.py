"""The version of the package, its only definition, and where its documentation is."""

__version__ = "0.1.0"

CLASS_PAGE = "https://skmoe.example.org/docs/generated/{estimator_module}.{estimator_name}.html"
"""Page of a class, at the address in ``[project.urls]`` of pyproject.toml; diagrams link there."""
