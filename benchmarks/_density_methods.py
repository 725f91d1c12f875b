"""Regressors that say how sure they are: ours, and those of other packages as they document them.

A method is a function ``seed -> unfitted model``; a fitted one has ``quantiles(X, levels)``, and
``log_density(X, y)`` and ``crps(X, y)`` where it has a density in closed form.
"""

import numpy as np
from _methods import best_single, pool
from scipy.stats import norm
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.linear_model import Ridge
from sklearn.model_selection import cross_val_predict, train_test_split

from skmoe import MixtureOfExpertsRegressor, PredictiveDistribution

MOST_ROWS_OF_A_PROCESS = 1000
"""Gaussian processes take the cube of it."""

LEVELS_OF_BOOSTING = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)


class TooManyRows(ValueError):
    """The method is not for data of this size."""


class Mixture:
    """A mixture of experts."""

    def __init__(self, experts, seed, density):
        self.model = MixtureOfExpertsRegressor(experts, density=density, random_state=seed)

    def fit(self, X, y):
        self.model.fit(X, y)
        return self

    def quantiles(self, X, levels):
        return self.model.predict_quantiles(X, levels)

    def log_density(self, X, y):
        return self.model.log_density(X, y)

    def crps(self, X, y):
        return self.model.predict_distribution(X).crps(y)


class Normal:
    """Predicts a mean and a standard deviation; a subclass says how."""

    def distribution(self, X):
        mean, std = (np.reshape(each, (-1, 1)) for each in self.moments(X))
        return PredictiveDistribution(np.ones_like(mean), mean, np.maximum(std, 1e-6))

    def quantiles(self, X, levels):
        return self.distribution(X).ppf(levels)

    def log_density(self, X, y):
        return self.distribution(X).logpdf(y)

    def crps(self, X, y):
        return self.distribution(X).crps(y)


class NGBoost(Normal):
    """NGBoost with its defaults: 500 small trees, a normal distribution."""

    def __init__(self, seed):
        self.seed = seed

    def fit(self, X, y):
        from ngboost import NGBRegressor

        self.model = NGBRegressor(verbose=False, random_state=self.seed).fit(X, y)
        return self

    def moments(self, X):
        parameters = self.model.pred_dist(X).params
        return parameters["loc"], parameters["scale"]


class CatBoost(Normal):
    """CatBoost's uncertainty, with early stopping on a fifth of the rows."""

    def __init__(self, seed):
        self.seed = seed

    def fit(self, X, y):
        from catboost import CatBoostRegressor

        X, X_stop, y, y_stop = train_test_split(X, y, test_size=0.2, random_state=self.seed)
        self.model = CatBoostRegressor(
            loss_function="RMSEWithUncertainty",
            early_stopping_rounds=50,
            random_seed=self.seed,
            thread_count=1,
            verbose=False,
            allow_writing_files=False,
        ).fit(X, y, eval_set=(X_stop, y_stop))
        return self

    def moments(self, X):
        mean, variance = self.model.predict(X).T
        return mean, np.sqrt(variance)


class Process(Normal):
    """Gaussian process with a length for each feature."""

    def __init__(self, seed):
        self.seed = seed

    def fit(self, X, y):
        if len(X) > MOST_ROWS_OF_A_PROCESS:
            raise TooManyRows(f"{len(X)} rows")
        kernel = ConstantKernel() * RBF(np.ones(X.shape[1])) + WhiteKernel()
        self.model = GaussianProcessRegressor(
            kernel, normalize_y=True, n_restarts_optimizer=1, random_state=self.seed
        ).fit(X, y)
        return self

    def moments(self, X):
        return self.model.predict(X, return_std=True)


class ConstantNoise(Normal):
    """The expert that cross-validation prefers, and the spread of its held-out errors."""

    def __init__(self, seed):
        self.seed = seed

    def fit(self, X, y):
        self.model = best_single("regression", self.seed).fit(X, y)
        held_out = cross_val_predict(self.model.model_, X, y, cv=5)
        self.std = np.sqrt(np.mean(np.square(y - held_out)))
        return self

    def moments(self, X):
        mean = self.model.predict(X)
        return mean, np.full(len(mean), self.std)


class QuantileForest:
    """quantile-forest with its defaults."""

    def __init__(self, seed):
        self.seed = seed

    def fit(self, X, y):
        from quantile_forest import RandomForestQuantileRegressor

        self.model = RandomForestQuantileRegressor(random_state=self.seed).fit(X, y)
        return self

    def quantiles(self, X, levels):
        return self.model.predict(X, quantiles=list(levels)).reshape(len(X), len(levels))


class BoostedQuantiles:
    """One histogram boosting for each of nine levels; others are interpolated."""

    def __init__(self, seed):
        self.seed = seed

    def fit(self, X, y):
        self.models = [
            HistGradientBoostingRegressor(
                loss="quantile", quantile=level, random_state=self.seed
            ).fit(X, y)
            for level in LEVELS_OF_BOOSTING
        ]
        return self

    def quantiles(self, X, levels):
        known = np.sort(np.column_stack([model.predict(X) for model in self.models]), axis=1)
        return _interpolated(known, LEVELS_OF_BOOSTING, levels)


class Crepes:
    """A conformal predictive system around a forest, its difficulty the nearest errors'."""

    def __init__(self, seed):
        self.seed = seed

    def fit(self, X, y):
        from crepes import WrapRegressor
        from crepes.extras import DifficultyEstimator

        X, X_cal, y, y_cal = train_test_split(X, y, test_size=0.25, random_state=self.seed)
        self.model = WrapRegressor(RandomForestRegressor(random_state=self.seed))
        self.model.fit(X, y)
        difficulty = DifficultyEstimator()
        difficulty.fit(X=X, y=y, learner=self.model.learner, scaler=True)
        self.model.calibrate(X_cal, y_cal, de=difficulty, cps=True, seed=self.seed)
        return self

    def quantiles(self, X, levels):
        found = self.model.predict_percentiles(
            X, higher_percentiles=[100 * level for level in levels], seed=self.seed
        )
        found = np.asarray(found).reshape(len(X), -1)
        bound = np.nanmax(np.abs(np.where(np.isfinite(found), found, 0.0)))
        return np.clip(found, -bound, bound)  # its outermost percentiles are infinite


class _Mapie:
    """Has intervals but no quantiles: one at each of the levels of the benchmark."""

    def quantiles(self, X, levels):
        raise NotImplementedError("it has intervals only")


class MapiePlus(_Mapie):
    """MAPIE's CV+ around histogram boosting."""

    def __init__(self, seed):
        self.seed = seed

    def fit(self, X, y):
        from mapie.regression import CrossConformalRegressor

        self.model = CrossConformalRegressor(
            HistGradientBoostingRegressor(random_state=self.seed),
            confidence_level=[0.5, 0.8, 0.9, 0.95],
            random_state=self.seed,
        ).fit_conformalize(X, y)
        return self

    def intervals(self, X):
        return np.moveaxis(self.model.predict_interval(X)[1], 2, 0)


class MapieQuantiles(_Mapie):
    """MAPIE's conformalised quantiles of histogram boosting, a quarter of the rows set apart."""

    def __init__(self, seed):
        self.seed = seed

    def fit(self, X, y):
        from mapie.regression import ConformalizedQuantileRegressor

        X, X_cal, y, y_cal = train_test_split(X, y, test_size=0.25, random_state=self.seed)
        self.models = [
            ConformalizedQuantileRegressor(
                HistGradientBoostingRegressor(loss="quantile", random_state=self.seed),
                confidence_level=level,
            )
            .fit(X, y)
            .conformalize(X_cal, y_cal)
            for level in (0.5, 0.8, 0.9, 0.95)
        ]
        return self

    def intervals(self, X):
        return np.stack([model.predict_interval(X)[1][:, :, 0] for model in self.models])


def _interpolated(known, at, levels):
    """Quantiles between known ones, in the scale of normal deviates; ends go on as the last."""
    deviates, wanted = norm.ppf(at), norm.ppf(levels)
    inner = np.stack([np.interp(wanted, deviates, row) for row in known])
    for end, step in ((0, 1), (-1, -2)):
        slope = (known[:, end] - known[:, step]) / (deviates[end] - deviates[step])
        outside = wanted < deviates[0] if end == 0 else wanted > deviates[-1]
        beyond = known[:, [end]] + slope[:, np.newaxis] * (wanted - deviates[end])
        inner[:, outside] = beyond[:, outside]
    return inner


METHODS = {
    "skmoe": lambda seed: Mixture(pool("regression", seed), seed, "auto"),
    "skmoe, mixture": lambda seed: Mixture(pool("regression", seed), seed, "mixture"),
    "linear clones": lambda seed: Mixture(Ridge(), seed, "auto"),
    "linear clones, mixture": lambda seed: Mixture(Ridge(), seed, "mixture"),
    "constant noise": ConstantNoise,
    "NGBoost": NGBoost,
    "quantile forest": QuantileForest,
    "CatBoost": CatBoost,
    "boosted quantiles": BoostedQuantiles,
    "crepes": Crepes,
    "MAPIE CV+": MapiePlus,
    "MAPIE CQR": MapieQuantiles,
    "Gaussian process": Process,
}
"""Name -> method."""

PACKAGES = {
    "NGBoost": "ngboost",
    "quantile forest": "quantile_forest",
    "CatBoost": "catboost",
    "crepes": "crepes",
    "MAPIE CV+": "mapie",
    "MAPIE CQR": "mapie",
}
"""Modules that methods need beside scikit-learn and skmoe."""
