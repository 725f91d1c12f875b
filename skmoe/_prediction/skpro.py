"""Predictive distributions as skpro has them; skpro is asked for only here, and only if used."""

from __future__ import annotations

from functools import cache

import numpy as np
from sklearn.utils import check_random_state


def as_skpro(distribution):
    """A predictive distribution as one of skpro.

    skpro's own mixtures have the same weights in all rows, hence a class of its own.

    Parameters
    ----------
    distribution : PredictiveDistribution

    Returns
    -------
    distribution : skpro.distributions.base.BaseDistribution

    Raises
    ------
    ImportError
        If skpro is not installed.
    """
    try:
        return _skpro_class()(distribution)
    except ImportError as error:
        raise ImportError("to_skpro needs skpro: pip install skpro") from error


@cache
def _skpro_class():
    import pandas as pd
    from skpro.distributions.base import BaseDistribution

    class SkproDistribution(BaseDistribution):
        """The wrapped distribution with the methods of skpro; rows and outputs are a frame."""

        _tags = {
            "capabilities:approx": ["pdfnorm", "energy"],
            "capabilities:exact": ["mean", "var", "pdf", "log_pdf", "cdf", "ppf"],
            "distr:measuretype": "continuous",
        }

        def __init__(self, distribution, index=None, columns=None):
            self.distribution = distribution
            n_rows, n_columns = (*distribution.shape, 1)[:2]
            index = pd.RangeIndex(n_rows) if index is None else index
            columns = pd.RangeIndex(n_columns) if columns is None else columns
            super().__init__(index=index, columns=columns)

        def _own(self, x):
            return np.broadcast_to(x, self.shape).reshape(self.distribution.shape)

        def _mean(self):
            return self.distribution.mean().reshape(self.shape)

        def _var(self):
            return self.distribution.var().reshape(self.shape)

        def _pdf(self, x):
            return self.distribution.pdf(self._own(x)).reshape(self.shape)

        def _log_pdf(self, x):
            return self.distribution.logpdf(self._own(x)).reshape(self.shape)

        def _cdf(self, x):
            return self.distribution.cdf(self._own(x)).reshape(self.shape)

        def _ppf(self, p):
            levels, where = np.unique(np.broadcast_to(p, self.shape), return_inverse=True)
            quantiles = self.distribution.ppf(levels).reshape(*self.shape, len(levels))
            where = where.reshape(*self.shape, 1)
            return np.take_along_axis(quantiles, where, axis=-1)[..., 0]

        def _iloc(self, rowidx=None, colidx=None):
            rows = np.arange(self.shape[0]) if rowidx is None else np.atleast_1d(rowidx)
            own = self.distribution[rows]
            columns = self.columns
            if colidx is not None and own.means.ndim > 2:
                columns = columns[colidx]
                kept = np.atleast_1d(colidx)
                own = type(own)(own.weights, own.means[..., kept], own.scales[..., kept], own.kind)
            return type(self)(own, index=self.index[rows], columns=columns)

        def _sample(self, n_samples=None):
            drawn = self.distribution.rvs(n_samples or 1, check_random_state(None))
            frames = [
                pd.DataFrame(np.reshape(each, self.shape), self.index, self.columns)
                for each in np.moveaxis(drawn, -1, 0)
            ]
            return frames[0] if n_samples is None else pd.concat(frames, keys=range(n_samples))

    return SkproDistribution
