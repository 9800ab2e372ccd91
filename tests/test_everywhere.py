"""That no module of tests is left out of all environments is itself checked."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests import everywhere

MODULES = sorted(path.relative_to(everywhere.TESTS.parent).as_posix() for path in everywhere.TESTS.rglob("test_*.py"))


def check(folder: Path, monkeypatch: pytest.MonkeyPatch, *suites: list[str]) -> None:
    files = [folder / str(number) for number in range(len(suites))]
    for file, modules in zip(files, suites, strict=True):
        file.write_text("".join(f"{module}\n" for module in modules))
    monkeypatch.setattr(sys, "argv", ["everywhere", *map(str, files)])
    everywhere.main()


def test_modules_may_run_in_any_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check(tmp_path, monkeypatch, MODULES[:5], MODULES[3:])


def test_a_module_that_ran_nowhere_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit) as error:
        check(tmp_path, monkeypatch, MODULES[:5], MODULES[6:])
    assert str(error.value).splitlines()[1:] == [MODULES[5]]
