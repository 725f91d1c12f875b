"""Reading estimators that an earlier release wrote."""

from __future__ import annotations

from inspect import Parameter, signature


class RevivedWithDefaults:
    """Gives a parameter that the estimator's release did not know its default.

    To be inherited before `BaseEstimator`, whose ``__setstate__`` does the rest.
    """

    def __setstate__(self, state):
        defaults = {
            name: parameter.default
            for name, parameter in signature(type(self).__init__).parameters.items()
            if parameter.default is not Parameter.empty
        }
        super().__setstate__(defaults | state)  # type: ignore[misc]
