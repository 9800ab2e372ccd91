"""The software and the processor that a worker runs on: recorded at training, compared at prediction."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import os
import platform
import sys
from typing import TYPE_CHECKING

from airflow_sklearn.contract.model import Versions
from airflow_sklearn.exceptions import BrokenEnvironmentError
from airflow_sklearn.system.cgroup import cores

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

_CORE_PACKAGES = ("scikit-learn", "numpy", "scipy", "pandas", "pyarrow", "joblib", "airflow-sklearn")
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def prepare_for_training() -> None:
    """Set the environment variables that OpenMP reads when it is loaded. Call it before numpy is imported.

    With the wait policy ``passive``, threads that wait leave their core to others. Without it, gradient boosting takes
    up to ten times as long on a machine that also does other work.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def prepare_for_prediction() -> None:
    """Set the environment variables that numeric libraries read at import. Call it before numpy and pyarrow are
    imported.

    Numeric libraries get one thread each, for three reasons: prediction uses cores by processes; sums in several
    threads have no fixed order; a forked process inherits a library's thread pool without its threads. Arrow gets the C
    library's allocator, which gives memory back that Arrow's own would keep (measured: 15% less memory at the same
    speed).
    """
    for name in _ONE_THREAD:
        os.environ[name] = "1"
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")


@contextlib.contextmanager
def threads_limited(threads: int | None) -> Iterator[None]:
    """Limit the threads of numeric libraries within the context, also of libraries that are loaded meanwhile.

    :param threads: the number of threads for each library; None: no change.
    """
    if threads is None:
        yield
        return
    from threadpoolctl import threadpool_limits

    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(dict.fromkeys(_ONE_THREAD, str(threads)))
    try:
        with threadpool_limits(threads):
            yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def limit_threads(environment: Mapping[str, str], threads: int | None, processes: int) -> dict[str, str]:
    """The environment variables of a process that shares its container with others.

    :param environment: the variables so far.
    :param threads: the number of threads for each numeric library. None: the value in ``environment``, else an equal
        share of the cores.
    :param processes: the number of processes that share the container.
    """
    limits = {name: str(threads or max(1, cores() // processes)) for name in _ONE_THREAD}
    waiting = {"OMP_WAIT_POLICY": "passive"}
    return {**waiting, **environment, **limits} if threads else {**waiting, **limits, **environment}


def processor() -> str:
    """The processor's model name. Numeric libraries choose their code by it, and the last bits of sums depend on that
    code.
    """
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def record_versions(estimator: Any, image: str = "") -> Versions:
    """The versions of everything that a fitted estimator depends on.

    :param estimator: a fitted estimator; every package that a class inside it comes from is recorded.
    :param image: the container image with its digest.
    """
    inside = sorted(_distributions(_modules_of(estimator)) | {"scikit-learn"})
    names = dict.fromkeys([*_CORE_PACKAGES, *inside])
    return Versions(
        python=platform.python_version(),
        packages={name: version for name in names if (version := _version(name))},
        estimator_packages=tuple(name for name in inside if name != "airflow-sklearn"),
        platform=platform.platform(),
        processor=processor(),
        image=image,
    )


def check_versions(trained: Versions, policy: str) -> list[str]:
    """Compare this environment with the one that trained the model.

    The packages inside the artifact must have the same version (scikit-learn supports no loading across versions).
    Python, numpy, scipy and pandas must have the same major and minor version.

    :param trained: the versions at training.
    :param policy: ``error`` or ``warn``.
    :return: with ``warn``, a sentence for each difference.
    :raises BrokenEnvironmentError: with ``error``, if there are differences; the message lists all of them.
    """
    here = {"python": platform.python_version(), **{name: _version(name) for name in trained.packages}}
    return refuse_differences(version_differences(trained, here), policy, "This environment")


def version_differences(trained: Versions, here: Mapping[str, str]) -> list[str]:
    """Compare versions with those at training; see ``check_versions``.

    :param trained: the versions at training.
    :param here: versions by distribution and of ``python``; empty: not installed. What is not in it is not compared.
    :return: a sentence for each difference.
    """
    differences = []
    if "python" in here and _minor(trained.python) != _minor(here["python"]):
        differences.append(f"Python {here['python']} here, {trained.python} at training")
    for name, version in trained.packages.items():
        exact = name in trained.estimator_packages
        if name not in here or not (exact or name in ("numpy", "scipy", "pandas")):
            continue
        if here[name] != version if exact else _minor(here[name]) != _minor(version):
            differences.append(f"{name} {here[name] or 'is not installed'} here, {version} at training")
    return differences


def refuse_differences(differences: list[str], policy: str, what: str) -> list[str]:
    """Refuse another environment than that of training.

    :param differences: the result of ``version_differences``.
    :param policy: ``error`` or ``warn``.
    :param what: the environment, for the message.
    :return: the differences, with the policy ``warn``.
    :raises BrokenEnvironmentError: with ``error``, if there are differences; the message lists all of them.
    """
    if differences and policy == "error":
        raise BrokenEnvironmentError(
            f"{what} is not the one that trained the model:\n"
            + "\n".join(f"  - {difference}" for difference in differences)
            + "\nUse the image (or the Python environment) that trained it, or train again with this one. "
            "The policy version_mismatch='warn' goes on, guarded only by the parity sample."
        )
    return differences


def _modules_of(estimator: Any) -> set[str]:
    """Top-level modules of the classes of everything reachable through the attributes of estimators."""
    seen: set[int] = set()
    modules: set[str] = set()
    queue = [estimator]
    while queue:
        item = queue.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, list | tuple | set):
            queue.extend(item)
        elif isinstance(item, dict):
            queue.extend(item.values())
        elif hasattr(item, "__dict__") and not isinstance(item, type):
            modules.add(type(item).__module__.partition(".")[0])
            queue.extend(vars(item).values())
    return modules


def _distributions(modules: Iterable[str]) -> set[str]:
    installed = _installed()
    wanted = [module for module in modules if module not in sys.stdlib_module_names]
    return {_normal(name) for module in wanted for name in installed.get(module, [])[:1]} - {"numpy", "scipy", "pandas"}


@functools.cache
def _installed() -> Mapping[str, list[str]]:
    """The installed distributions by top-level module. Cached, because reading the files of all distributions is
    slow.
    """
    return importlib.metadata.packages_distributions()


@functools.cache
def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _minor(version: str) -> tuple[str, ...]:
    return tuple(version.split(".")[:2])


def _normal(name: str) -> str:
    return name.lower().replace("_", "-")
