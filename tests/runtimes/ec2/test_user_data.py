"""The script, run by a real shell; what only an instance has (Docker, a package manager, a switch) are stand-ins."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_sklearn.exceptions import UserError
from airflow_sklearn.runtimes.ec2.user_data import HostOptions, user_data

ECR = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/worker:7"
HOST = HostOptions(
    pool="s3://acme/jobs/pools/1",
    number="000000",
    slots=3,
    idle_timeout=60,
    log_group="/ec2/airflow-sklearn",
    log_region="eu-west-1",
    plan="s3://acme/plans/0.json",
)
#: What an ordinary Debian or Amazon Linux has.
ORDINARY = ("awk", "bash", "cat", "echo", "env", "mkdir", "seq", "sync", "tail", "tr")
HAS_NO_IMAGE = 'case "$1 $2" in "image inspect") exit 1;; login*) cat >/dev/null;; esac'


@pytest.fixture
def boot(tmp_path: Path) -> Callable[..., list[str]]:
    """``boot(docker="...", image=...)``: runs the script on a machine with these commands; what it called and said.

    Each command is a shell script, after noting that it was called with what.
    """

    def run(image: str = "acme/worker:7", env: dict[str, str] | None = None, **commands: str) -> list[str]:
        programs, calls = tmp_path / "bin", tmp_path / "calls"
        programs.mkdir()
        calls.touch()
        for name in ORDINARY:
            (programs / name).symlink_to(str(shutil.which(name)))
        for name, source in {"shutdown": "", "sleep": "", **commands}.items():
            program = programs / name.replace("_", "-")
            program.write_text(f'#!/bin/bash\necho "{program.name} $*" >>{calls}\n{source}\n')
            program.chmod(0o755)
        script = tmp_path / "user-data"
        script.write_text(user_data(image, HOST, env or {}, lifetime=3601))
        done = subprocess.run(
            ["/bin/bash", str(script)],
            env={"PATH": str(programs), "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        return [f"exit {done.returncode}", *calls.read_text().splitlines(), *(done.stdout + done.stderr).splitlines()]

    return run


def test_an_ami_with_the_image_starts_it_at_once_and_ends(boot: Callable[..., list[str]]) -> None:
    said = boot(docker="", env={"A": "it's $HOME", "B": "two\nlines"})
    assert said[:3] == ["exit 0", "shutdown -h +61", "docker version"]
    text = "\n".join(said)
    assert "pull" not in text
    assert "--network host" in text
    assert "--env A=it's $HOME --env B=two\nlines" in text
    assert (
        "acme/worker:7 -m airflow_sklearn.worker.host s3://acme/jobs/pools/1 000000 --places 3 --idle-timeout 60 "
        "--plan s3://acme/plans/0.json "
        "--log-group /ec2/airflow-sklearn --log-region eu-west-1"
    ) in text
    assert "shutdown -h now" in said


def test_the_container_gets_the_memory_that_the_machine_does_not_need(boot: Callable[..., list[str]]) -> None:
    (line,) = [line for line in boot(docker="") if line.startswith("docker run")]
    memory = int(line.partition("--memory ")[2].partition("m ")[0])
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20
    assert machine - 513 <= memory < machine


def test_an_image_in_ecr_is_pulled_with_the_rights_of_the_instance(boot: Callable[..., list[str]]) -> None:
    said = boot(image=ECR, docker=HAS_NO_IMAGE, aws="echo secret")
    registry = ECR.partition("/")[0]
    assert "aws ecr get-login-password --region eu-west-1" in said
    assert f"docker login --username AWS --password-stdin {registry}" in said
    assert f"docker pull --quiet {ECR}" in said
    assert "secret" not in said
    assert said[0] == "exit 0"


def test_without_the_aws_command_the_credential_helper_is_used(boot: Callable[..., list[str]], tmp_path: Path) -> None:
    said = boot(image=ECR, docker=HAS_NO_IMAGE, dnf="")
    assert "dnf install -y -q amazon-ecr-credential-helper" in said
    assert (tmp_path / ".docker" / "config.json").read_text().strip() == (
        f'{{"credHelpers": {{"{ECR.partition("/")[0]}": "ecr-login"}}}}'
    )


def test_docker_is_installed_only_where_there_is_none(boot: Callable[..., list[str]], tmp_path: Path) -> None:
    installs = f"printf '#!/bin/bash\\necho \"docker $*\" >>{tmp_path}/calls' >{tmp_path}/bin/docker; {shutil.which('chmod')} +x {tmp_path}/bin/docker"  # noqa: E501
    said = boot(dnf=installs)
    assert "dnf install -y -q docker" in said
    assert any(line.startswith("docker run") for line in said)
    assert said[0] == "exit 0"


def test_what_cannot_be_installed_or_pulled_is_said_and_the_machine_ends(boot: Callable[..., list[str]]) -> None:
    said = boot(dnf="exit 1")
    assert said[0] == "exit 70"
    assert said.count("dnf install -y -q docker") == 3
    assert "airflow-sklearn: cannot install Docker" in said
    assert said.count("shutdown -h now") == 1


def test_a_pull_is_tried_three_times_and_its_error_is_said(boot: Callable[..., list[str]]) -> None:
    refuses = f'{HAS_NO_IMAGE}; case "$1" in pull) echo "manifest unknown" >&2; exit 1;; esac'
    said = boot(docker=refuses)
    assert said.count("docker pull --quiet acme/worker:7") == 3
    assert any(line.startswith("airflow-sklearn: cannot pull acme/worker:7: manifest unknown") for line in said)
    assert said[0] == "exit 70"
    assert "shutdown -h now" in said


def test_an_engine_that_does_not_run_is_started_or_said(boot: Callable[..., list[str]]) -> None:
    said = boot(docker='case "$1" in version) echo "no daemon"; exit 1;; esac', systemctl="")
    assert "systemctl start docker" in said
    assert "airflow-sklearn: Docker does not run: no daemon" in said
    assert said[0] == "exit 70"


def test_without_a_deadline_there_is_no_last_moment() -> None:
    assert "\nlifetime_minutes=\n" in user_data("acme/worker:7", HOST, {}, lifetime=None)


def test_variables_that_do_not_fit_are_named() -> None:
    assert len(user_data("acme/worker:7", HOST, {"A": "x" * 10_000}, lifetime=None).encode()) < 16_384
    with pytest.raises(UserError, match=r"16,384. The largest variable of Ec2Runtime\(env=...\) is B with 15,000"):
        user_data("acme/worker:7", HOST, {"A": "1", "B": "x" * 15_000}, lifetime=None)
    with pytest.raises(UserError, match="'A B' is no name of a variable"):
        user_data("acme/worker:7", HOST, {"A B": "1"}, lifetime=None)


def test_what_comes_from_outside_is_quoted(boot: Callable[..., list[str]], tmp_path: Path) -> None:
    said = boot(image=f"acme/worker:7; echo >{tmp_path}/pwned", docker="", env={"A": f"$(echo >{tmp_path}/pwned)"})
    assert not (tmp_path / "pwned").exists()
    assert said[0] == "exit 0"
