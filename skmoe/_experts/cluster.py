"""Calls in the workers of a dask cluster.

joblib has a way there, too. In tests in which a worker dies its calls never came back (joblib
1.6), and it scatters what it is given anew in each call of `Parallel`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from sklearn import config_context, get_config


def is_client_of_cluster(backend: Any) -> bool:
    """Whether a backend of joblib is dask's, in a process that is not itself one of its workers.

    Within a task of dask, scattering from its worker cancels tasks (dask/distributed#3703).
    """
    if type(backend).__name__ != "DaskDistributedBackend":
        return False
    return not hasattr(sys.modules["distributed.worker"].thread_state, "execution_state")


class Cluster:
    """The workers that a dask backend of joblib has.

    Parameters
    ----------
    backend : joblib's DaskDistributedBackend
    shared : tuple
        Arguments that many calls have in common: sent to all workers now, and never again.
    """

    def __init__(self, backend: Any, shared: tuple[Any, ...]):
        self.client = backend.client
        self.settings = backend.submit_kwargs
        self.shared = shared  # keeps the identities true
        futures = self.client.scatter(list(shared), broadcast=True, hash=False) if shared else []
        self.sent = {id(one): future for one, future in zip(shared, futures, strict=True)}

    def __call__(self, calls: Any) -> list[Any]:
        """Results of calls (function, arguments), in their order."""
        config, futures = get_config(), []
        try:
            for function, arguments in calls:
                known = [self.sent.get(id(one), one) for one in arguments]
                futures.append(
                    self.client.submit(
                        _configured, config, function, *known, pure=False, **self.settings
                    )
                )
            return self.client.gather(futures)
        except BaseException:
            self.client.cancel(futures)
            raise


def _configured(config: dict[str, Any], function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function with a configuration of scikit-learn."""
    with config_context(**config):
        return function(*arguments)
