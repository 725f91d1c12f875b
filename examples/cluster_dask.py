"""A mixture fitted on a dask cluster that loses a worker; prediction by partition.

The cluster is one of this machine, of two processes; for another give its address,
``Client("tcp://...")``. It needs ``pip install 'skmoe[dask]'``. Run it with
``python examples/cluster_dask.py``.
"""

import os
import time
from threading import Thread

import numpy as np
from dask import array
from dask.distributed import Client, LocalCluster
from joblib import parallel_config
from sklearn.datasets import make_friedman1
from sklearn.ensemble import HistGradientBoostingRegressor

from skmoe import MixtureOfExpertsRegressor

EXPERT = HistGradientBoostingRegressor(max_iter=30)


def kill_a_worker(client, seconds):
    """What a cluster may do that needs its machine for something else."""
    time.sleep(seconds)
    pid = sorted(client.run(os.getpid).values())[0]
    os.kill(pid, 9)


def main():
    X, y = make_friedman1(1000, noise=0.5, random_state=0)
    mixture = MixtureOfExpertsRegressor(
        EXPERT, n_experts=3, overlap=0.1, init="leaves", tol=0.05, random_state=0
    )
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        # Fitting: the rows are here, the experts are fitted there.
        killer = Thread(target=kill_a_worker, args=(client, 1.0))
        killer.start()
        with parallel_config(backend="dask"):
            mixture.fit(X, y)
        killer.join()
        print(
            f"fitted, with a worker killed meanwhile: R2 {mixture.score(X, y):.2f}"
        )

        # Predicting: the rows are there, and so the mixture goes there.
        rows = array.from_array(X, chunks=(250, X.shape[1]))
        predicted = rows.map_blocks(mixture.predict, dtype=float, drop_axis=1)
        print(f"{predicted.npartitions} blocks predicted where they are")
        same = np.array_equal(predicted.compute(), mixture.predict(X))
        print(f"as if they were here: {same}")


if __name__ == "__main__":
    main()
