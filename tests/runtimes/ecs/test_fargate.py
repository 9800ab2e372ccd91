from __future__ import annotations

import pytest

from airflow_sklearn.exceptions import UserError
from airflow_sklearn.runtimes.ecs.fargate import SIZES, check_size, fit, grow


@pytest.mark.parametrize(("cpu", "memory"), [(256, 512), (256, 2048), (1024, 8192), (4096, 30720), (16384, 122880)])
def test_sizes_of_fargate_are_taken(cpu: int, memory: int) -> None:
    check_size(cpu, memory)


@pytest.mark.parametrize(
    ("cpu", "memory", "said"),
    [
        (300, 512, "one of 256, 512, 1024"),
        (256, 4096, "512 or 1024 or 2048 MiB"),
        (1024, 1024, "2048 to 8192 MiB in steps of 1024"),
        (8192, 17000, "16384 to 61440 MiB in steps of 4096"),
    ],
)
def test_other_sizes_are_refused_with_those_that_there_are(cpu: int, memory: int, said: str) -> None:
    with pytest.raises(UserError, match=said):
        check_size(cpu, memory)


@pytest.mark.parametrize(
    ("cpu", "memory", "bound", "grown"),
    [
        (256, 512, 99999, (256, 1024)),
        (256, 2048, 99999, (512, 4096)),
        (512, 4096, 99999, (1024, 8192)),
        (1024, 3072, 99999, (1024, 6144)),
        (4096, 30720, 99999, (8192, 61440)),
        (1024, 4096, 6144, (1024, 6144)),
        (1024, 4096, 5000, None),
        (16384, 122880, 999999, None),
    ],
)
def test_memory_doubles_within_the_bound_with_as_few_units_as_go_with_it(
    cpu: int, memory: int, bound: int, grown: tuple[int, int] | None
) -> None:
    assert grow(cpu, memory, factor=2, bound=bound) == grown


def test_what_grows_is_always_a_size_of_fargate() -> None:
    for cpu, sizes in SIZES.items():
        for memory in sizes:
            grown = grow(cpu, memory, factor=2, bound=4 * memory)
            if grown is not None:
                check_size(*grown)
                assert memory < grown[1] <= 4 * memory
                assert grown[0] >= cpu


@pytest.mark.parametrize(
    ("cpu", "memory", "fitting"),
    [
        (256, 8192, (1024, 8192)),
        (2048, 8192, (2048, 8192)),
        (256, 5000, (512, 4096)),
        (4096, 4096, None),
        (256, 999999, (16384, 122880)),
    ],
)
def test_the_largest_size_within_some_memory(cpu: int, memory: int, fitting: tuple[int, int] | None) -> None:
    assert fit(cpu, memory) == fitting
