"""How many bytes a grid search of 60 fits on a 200 MB matrix moves into two containers: near one copy each, not sixty.

    python -m benchmarks.joblib_bytes
    python -m benchmarks.joblib_bytes --megabytes 50

The containers are real ones (ECS by a local stand-in). What each one receives is what the kernel counts on its network
interface. Ends with an error if that is more than one and a half copies a container.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.joblib_pools import CONTAINERS, pool_of_containers, seconds, warm_up

COLUMNS = 50
VALUES, FOLDS = 12, 5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--megabytes", type=int, default=200, help="of the matrix (default: %(default)s)")
    options = parser.parse_args()
    with pool_of_containers(memory=2048) as (local, pool):
        from joblib import parallel_config

        X, y = table(options.megabytes)
        with parallel_config("containers", pool=pool, n_jobs=CONTAINERS, inner_max_num_threads=1):
            warm_up(CONTAINERS)
            before = received(local)
            took = seconds(lambda: search(X, y))
            moved = [after - before[name] for name, after in received(local).items()]
            statistics = pool.statistics()
    size = X.nbytes
    what = f"GridSearchCV of {VALUES * FOLDS} fits on a matrix of {size / 1e6:,.0f} MB"
    print(f"{what}, {CONTAINERS} containers: {took:.0f} s")
    print(f"stored by the driver          {statistics['bytes_stored'] / 1e6:>10,.1f} MB")
    print(f"fetched, as the workers say   {statistics['bytes_fetched'] / 1e6:>10,.1f} MB")
    for number, count in enumerate(sorted(moved), start=1):
        print(f"received by container {number}       {count / 1e6:>10,.1f} MB   {count / size:.2f} copies")
    print(f"with each fit, it would be    {VALUES * FOLDS * size / 1e6:>10,.1f} MB")
    return 0 if moved and max(moved) < 1.5 * size else 1


def table(megabytes: int) -> tuple[Any, Any]:
    import numpy as np

    random = np.random.default_rng(0)
    X = random.random((megabytes * 1_000_000 // 8 // COLUMNS, COLUMNS))
    return X, (X[:, 0] + 0.1 * random.random(len(X)) > 0.55).astype(int)


def search(X: Any, y: Any) -> None:
    import numpy as np
    from sklearn.model_selection import GridSearchCV
    from sklearn.naive_bayes import GaussianNB

    grid = {"var_smoothing": list(np.logspace(-9, -1, VALUES))}
    GridSearchCV(GaussianNB(), grid, cv=FOLDS, refit=False).fit(X, y)


def received(local: Any) -> dict[str, int]:
    """Bytes that each container has received, by its id."""
    from local_cloud import docker_engine

    found = {}
    for name in local.containers():
        process = json.loads(docker_engine.docker("inspect", name))[0]["State"]["Pid"]
        lines = Path(f"/proc/{process}/net/dev").read_text().splitlines()
        found[name] = sum(
            int(line.split(":")[1].split()[0]) for line in lines[2:] if line.split(":")[0].strip() != "lo"
        )
    return found


if __name__ == "__main__":
    sys.exit(main())
