"""The sizes of AWS Fargate tasks: only certain pairs of CPU units and MiB exist.

Source: "Amazon ECS task definition parameters for Fargate", task size, in the Amazon ECS Developer Guide (2026).
"""

from __future__ import annotations

from airflow_sklearn.exceptions import UserError

_GIB = 1024

#: The possible MiB of memory, by CPU units (1,024 are one vCPU).
SIZES: dict[int, tuple[int, ...]] = {
    256: (512, 1 * _GIB, 2 * _GIB),
    512: tuple(range(1 * _GIB, 4 * _GIB + 1, _GIB)),
    1024: tuple(range(2 * _GIB, 8 * _GIB + 1, _GIB)),
    2048: tuple(range(4 * _GIB, 16 * _GIB + 1, _GIB)),
    4096: tuple(range(8 * _GIB, 30 * _GIB + 1, _GIB)),
    8192: tuple(range(16 * _GIB, 60 * _GIB + 1, 4 * _GIB)),
    16384: tuple(range(32 * _GIB, 120 * _GIB + 1, 8 * _GIB)),
}


def check_size(cpu: int, memory: int) -> None:
    """Check that Fargate has a size.

    :param cpu: CPU units.
    :param memory: MiB.
    :raises UserError: it has not; the message names similar ones.
    """
    if cpu not in SIZES:
        units = ", ".join(map(str, SIZES))
        raise UserError(f"Fargate has no size with cpu={cpu}: it is one of {units} CPU units (1024 are one vCPU).")
    fitting = SIZES[cpu]
    if memory not in fitting:
        known = f"{fitting[0]} to {fitting[-1]} MiB in steps of {fitting[-1] - fitting[-2]}"
        raise UserError(
            f"Fargate has no size with cpu={cpu} and memory={memory}: with {cpu} CPU units, memory is "
            f"{known if len(fitting) > 3 else ' or '.join(map(str, fitting)) + ' MiB'}."
        )


def grow(cpu: int, memory: int, *, factor: int, bound: int) -> tuple[int, int] | None:
    """A size with more memory, and the fewest possible CPU units.

    :param cpu: the least CPU units.
    :param memory: the MiB that were not enough.
    :param factor: by which to multiply the memory.
    :param bound: the most MiB.
    :return: CPU units and MiB; None if no larger size is within the bound.
    """
    larger = [
        (size, units) for units, sizes in SIZES.items() if units >= cpu for size in sizes if memory < size <= bound
    ]
    enough = [pair for pair in larger if pair[0] >= memory * factor]
    if not larger:
        return None
    size = min(enough)[0] if enough else max(larger)[0]
    return min(units for other, units in larger if other == size), size


def fit(cpu: int, memory: int) -> tuple[int, int] | None:
    """The largest size with at most this memory, and the fewest possible CPU units.

    :param cpu: the least CPU units.
    :param memory: the most MiB.
    :return: CPU units and MiB; None if all sizes with so many CPU units have more memory.
    """
    fitting = [(size, -units) for units, sizes in SIZES.items() if units >= cpu for size in sizes if size <= memory]
    if not fitting:
        return None
    size, units = max(fitting)
    return -units, size
