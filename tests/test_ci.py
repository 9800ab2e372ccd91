"""When CI runs the tests of the local cloud: when its digest is not the one with which they passed last."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / ".ci" / "local-cloud-digest"


class Repository:
    """With the script, and files in ``local_cloud`` and beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in (".ci", "local_cloud", "requirements"):
            (folder / name).mkdir(parents=True)
        shutil.copy(SCRIPT, folder / ".ci")
        subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
        for name in ("local_cloud/faults.py", "requirements/ministack.txt", "README.md"):
            self.write(name, "as it was")

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)
        subprocess.run(["git", "add", name], cwd=self.folder, check=True)

    def digest(self) -> str:
        return subprocess.run(
            [self.folder / ".ci" / SCRIPT.name], capture_output=True, text=True, check=True
        ).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


@pytest.mark.parametrize("name", ["local_cloud/faults.py", "local_cloud/new.py", "requirements/ministack.txt"])
def test_a_change_of_the_local_cloud_or_of_what_it_needs_is_another_digest(repository: Repository, name: str) -> None:
    before = repository.digest()
    repository.write(name, "changed")
    assert repository.digest() != before


def test_other_files_do_not_change_it(repository: Repository) -> None:
    before = repository.digest()
    repository.write("README.md", "changed")
    assert repository.digest() == before
    assert len(before) == 64
