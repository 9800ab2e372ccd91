"""What a task costs over containers, and how long a grid search takes, beside joblib's own processes, Dask and Ray.

    python -m benchmarks.joblib_overhead
    python -m benchmarks.joblib_overhead --peers /path/to/python    # that has dask[distributed], ray and scikit-learn

All on this machine, with two workers each that are warm: 200 trivial tasks, and GridSearchCV of 60 fits (12 values, 5
folds). They take turns, and the best of the rounds counts, because other work on the machine disturbs them all. The
containers are real ones (ECS by a local stand-in), and so are their queues (SQS by the same stand-in).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from benchmarks.joblib_pools import CONTAINERS, pool_of_containers, seconds, warm_up

TASKS = 200
PEERS = ("dask", "ray")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--peers", metavar="PYTHON", help="an interpreter with dask[distributed], ray and scikit-learn")
    parser.add_argument("--peer", choices=PEERS, help=argparse.SUPPRESS)  # in a process of its own
    options = parser.parse_args()
    if options.peer:
        print(json.dumps(measure_peer(options.peer, options.rounds)))
        return 0
    found = measure_containers(options.rounds)
    for peer in PEERS if options.peers else ():
        command = [options.peers, "-m", "benchmarks.joblib_overhead", "--peer", peer, "--rounds", str(options.rounds)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{peer} did not run: {done.stderr.strip()[-500:]}", file=sys.stderr)
            continue
        found[peer] = json.loads(done.stdout.splitlines()[-1])
    print(f"{'':12}{'ms a task':>11}{'60 fits, s':>12}{'beside loky':>13}")
    for name, (tasks, fits) in found.items():
        print(f"{name:12}{tasks / TASKS * 1000:>11.2f}{fits:>12.2f}{fits / found['loky'][1]:>13.2f}")
    return 0


def measure_containers(rounds: int) -> dict[str, list[float]]:
    """Seconds of the tasks, and of the search."""
    from joblib import parallel_config

    def with_loky() -> Any:
        return parallel_config("loky", n_jobs=CONTAINERS, inner_max_num_threads=1)

    with pool_of_containers(memory=1024) as (_, pool):

        def with_containers() -> Any:
            return parallel_config("containers", pool=pool, n_jobs=CONTAINERS, inner_max_num_threads=1)

        return best_of(rounds, {"loky": with_loky, "containers": with_containers})


def measure_peer(name: str, rounds: int) -> list[float]:
    from joblib import parallel_config

    with contextlib.ExitStack() as stack:
        if name == "dask":
            from dask.distributed import Client, LocalCluster  # type: ignore[import-not-found]

            cluster = stack.enter_context(
                LocalCluster(n_workers=CONTAINERS, threads_per_worker=1, dashboard_address=None)
            )
            stack.enter_context(Client(cluster))
        else:
            import ray  # type: ignore[import-not-found]
            from ray.util.joblib import register_ray  # type: ignore[import-not-found]

            ray.init(num_cpus=CONTAINERS, include_dashboard=False, log_to_driver=False)
            register_ray()
        return best_of(rounds, {name: lambda: parallel_config(name, n_jobs=CONTAINERS)})[name]


def best_of(rounds: int, backends: dict[str, Callable[[], Any]]) -> dict[str, list[float]]:
    best: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, backend in backends.items():
            with backend():
                if name not in best:
                    warm_up(CONTAINERS)
                    search()
                    best[name] = [float("inf"), float("inf")]
                now = [seconds(trivial), seconds(search)]
            best[name] = [min(pair) for pair in zip(best[name], now, strict=True)]
    return best


def trivial() -> None:
    import joblib

    assert joblib.Parallel()(joblib.delayed(abs)(-number) for number in range(TASKS)) == list(range(TASKS))


def search() -> None:
    import numpy as np
    from sklearn.datasets import make_classification
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import GridSearchCV

    X, y = make_classification(4000, 20, random_state=0)
    grid = {"learning_rate": list(np.linspace(0.02, 0.3, 12))}
    GridSearchCV(HistGradientBoostingClassifier(max_iter=60), grid, cv=5, refit=False).fit(X, y)


if __name__ == "__main__":
    sys.exit(main())
