"""What is published: a source distribution with all of the repository, and the wheel that is built of it."""

from __future__ import annotations

import email
import importlib.util
import subprocess
import tarfile
import zipfile
from email.message import Message
from pathlib import Path

import pytest

import airflow_sklearn

REPOSITORY = Path(__file__).parents[1]
NOT_PUBLISHED = {".git", "build", "dist"}
needs_uv = pytest.mark.skipif(importlib.util.find_spec("uv") is None, reason="no uv here: the tools are in .venv")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a source distribution and the wheel that was built of it."""
    from uv import find_uv_bin

    folder = tmp_path_factory.mktemp("dist")
    command = [find_uv_bin(), "build", "--quiet", "--no-build-isolation", "--out-dir", folder, REPOSITORY]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def metadata(built: Path) -> Message:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
        return email.message_from_bytes(wheel.read(name))


def files_of_the_repository() -> set[str]:
    """What belongs to it, by git or, in an unpacked source distribution, by its folders."""
    if (REPOSITORY / ".git").exists():
        listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, check=True, capture_output=True, text=True)
        return {name for name in listed.stdout.splitlines() if (REPOSITORY / name).is_file()}
    paths = [path.relative_to(REPOSITORY) for path in REPOSITORY.rglob("*") if path.is_file()]
    kept = [path for path in paths if not path.parts[0].startswith(".venv") and path.parts[0] not in NOT_PUBLISHED]
    return {str(path) for path in kept if "cache" not in str(path) and not path.match("*.egg-info/*")} - {"PKG-INFO"}


@needs_uv
def test_the_source_distribution_has_every_file(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        found = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    assert files_of_the_repository() - found == set()
    assert not {name for name in found if "__pycache__" in name or name.startswith(".venv")}


@needs_uv
def test_the_wheel_has_the_package_with_its_data_and_nothing_else(built: Path) -> None:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {"airflow_sklearn"}
    ours = {name for name in files_of_the_repository() if name.startswith("airflow_sklearn/")}
    assert ours - names == set()


@needs_uv
def test_the_metadata_name_no_place_that_is_not_ours(metadata: Message) -> None:
    """Of a provider without a documentation link Airflow's page of providers makes one up, at Airflow's own site."""
    links = metadata.get_all("Project-URL") or []
    assert [link.partition(",")[0] for link in links] == ["Documentation"]
    assert "://" not in str({name: value for name, value in metadata.items() if name != "Description"})
    assert metadata["Author"]
    assert metadata["Version"] == airflow_sklearn.__version__


@needs_uv
def test_whoever_publishes_a_build_says_where_its_documentation_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from setuptools.config.setupcfg import read_configuration
    from setuptools.dist import Distribution

    assert "project_urls" not in read_configuration(REPOSITORY / "setup.cfg")["metadata"]
    monkeypatch.setenv("AIRFLOW_SKLEARN_DOCS_URL", "https://forge.example/ml/airflow-sklearn/docs")
    said: dict[str, dict[str, str]] = {}
    monkeypatch.setattr("setuptools.setup", lambda **arguments: said.update(arguments))
    exec((REPOSITORY / "setup.py").read_text(), {"__name__": "__main__"})
    assert Distribution(said).metadata.project_urls == {
        "Documentation": "https://forge.example/ml/airflow-sklearn/docs"
    }


def test_the_provider_names_no_place_that_is_not_ours() -> None:
    from airflow_sklearn.provider_info import get_provider_info

    info = get_provider_info()
    assert not [text for text in _texts(info["integrations"]) if "://" in text]


def _texts(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [str(value)]
