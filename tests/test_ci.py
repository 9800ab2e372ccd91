"""When CI runs the tests of the local cloud."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / ".ci" / "local-cloud-changed"


class Repository:
    """With the script, and a file in ``local_cloud`` and one beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in (".ci", "local_cloud"):
            (folder / name).mkdir(parents=True)
        shutil.copy(SCRIPT, folder / ".ci")

    def git(self, *arguments: str) -> None:
        who = ["-c", "user.name=tests", "-c", "user.email=tests@example.com"]
        subprocess.run(["git", *who, *arguments], cwd=self.folder, check=True, capture_output=True)

    def commit(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)
        self.git("add", "--all")
        self.git("commit", "--message", name)

    def changed(self, **environment: str) -> bool:
        """What the script says."""
        environment["PATH"] = os.environ["PATH"]
        done = subprocess.run([self.folder / ".ci" / SCRIPT.name], env=environment, check=False)
        return done.returncode == 0


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Its one commit is of a branch that nobody has published."""
    made = Repository(tmp_path / "repository")
    made.git("init", "--initial-branch", "main")
    made.commit("local_cloud/README.md", "as it was")
    return made


def test_without_a_commit_before_they_run(repository: Repository) -> None:
    assert repository.changed()


def test_without_git_they_run(tmp_path: Path) -> None:
    assert Repository(tmp_path / "unpacked").changed()


def test_they_run_after_a_commit_that_changes_it_and_not_after_another(repository: Repository) -> None:
    repository.commit("local_cloud/README.md", "changed")
    assert repository.changed()
    repository.commit("README.md", "changed")
    assert not repository.changed()


def test_every_commit_of_a_branch_counts(repository: Repository) -> None:
    repository.git("update-ref", "refs/remotes/origin/main", "HEAD")
    repository.commit("local_cloud/README.md", "changed")
    repository.commit("README.md", "changed")
    assert repository.changed()
    repository.git("update-ref", "refs/remotes/origin/main", "HEAD~1")
    assert not repository.changed()


def test_the_commit_to_compare_with_can_be_named(repository: Repository) -> None:
    repository.commit("local_cloud/README.md", "changed")
    repository.commit("README.md", "changed")
    assert repository.changed(CHANGED_SINCE="HEAD~2")
    assert not repository.changed(CHANGED_SINCE="HEAD~1")
    assert repository.changed(CHANGED_SINCE="a commit that a shallow clone does not have")


def test_a_change_that_is_not_committed_counts(repository: Repository) -> None:
    repository.commit("README.md", "changed")
    (repository.folder / "local_cloud" / "README.md").write_text("changed")
    assert repository.changed()
