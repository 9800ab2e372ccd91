"""The checks of ``airflow-sklearn doctor``: what will fail, before it does. Each is tried for real."""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from airflow_sklearn.cli.access import WORKER_PACKAGES, aws_access, has_airflow, missing_packages

if TYPE_CHECKING:
    from airflow_sklearn.contract.model import ModelManifest
    from airflow_sklearn.runtimes.base import AwsAccess
    from airflow_sklearn.storage import Storage

Status = Literal["ok", "warn", "fail"]
_LEAST_DISK = 1_000_000_000  # bytes


@dataclass(frozen=True)
class Check:
    """What one check has found.

    :param name: what was checked.
    :param message: what is so.
    :param fix: what to do; empty: nothing.
    """

    name: str
    status: Status
    message: str
    fix: str = ""


def of_software() -> Iterator[Check]:
    """What is installed in this interpreter."""
    python = platform.python_version()
    yield Check("package", "ok", f"airflow-sklearn {_version('airflow-sklearn')}, Python {python}")
    if has_airflow():
        provider = _version("apache-airflow-providers-amazon")
        text = f"Airflow {_version('apache-airflow')}, amazon provider {provider or 'not installed'}"
        fix = "" if provider else "pip install apache-airflow-providers-amazon"
        yield Check("Airflow", "ok" if provider else "fail", text, fix)
    else:
        fix = "Nothing, unless DAGs are to run here, or connections and reap are used."
        yield Check("Airflow", "warn", "Airflow is not installed here", fix)
    if missing := missing_packages():
        yield Check(
            "worker",
            "warn",
            f"Not installed here: {', '.join(missing)}. Jobs can only run elsewhere",
            "pip install 'airflow-sklearn[worker]'; beside an old Airflow, an environment of its own "
            "(LocalRuntime(python=...), docs/guides/install.md). Nothing, if jobs run in containers.",
        )
    else:
        shown = ", ".join(f"{name} {_version(name)}" for name in ("scikit-learn", "pandas", "pyarrow", "numpy"))
        yield Check("worker", "ok", f"{shown}, and {len(WORKER_PACKAGES) - 4} more")


def of_machine() -> Iterator[Check]:
    """Processors, memory and disk of this machine, for jobs that run here."""
    import tempfile

    from airflow_sklearn.contract.sizes import shown_bytes
    from airflow_sklearn.system.cgroup import cores, memory_limit

    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    text = f"{cores()} cores, {shown_bytes(memory_limit())} of memory, {shown_bytes(free)} free in {folder}"
    fix = "" if free > _LEAST_DISK else f"Free some of {folder}, or set TMPDIR to a larger disk."
    yield Check("machine", "warn" if fix else "ok", text, fix)


def of_connection(aws_conn_id: str | None) -> Iterator[Check]:
    """Whether AWS knows the credentials."""
    name = f"the connection {aws_conn_id}" if aws_conn_id else "the environment"
    with _failing("credentials", f"Check {name}.") as failed:
        identity = aws_access(aws_conn_id).client("sts").get_caller_identity()
        yield Check("credentials", "ok", f"{identity['Arn']} by {name}")
    yield from failed


def of_readable(storage: Storage, name: str, uri: str) -> Iterator[Check]:
    """Whether a source can be listed and read."""
    from airflow_sklearn.contract.faults import counted
    from airflow_sklearn.contract.sizes import shown_bytes

    fix = "Correct the URI, or allow s3:ListBucket and s3:GetObject there (`airflow-sklearn policies`)."
    with _failing(name, fix) as failed:
        objects = storage.expand([uri])
        storage.read(objects[0].uri, end=min(1, objects[0].size), etag=objects[0].etag)
        size = shown_bytes(sum(obj.size for obj in objects))
        yield Check(name, "ok", f"{uri}: {counted(len(objects), 'object')}, {size}: listed and read")
    yield from failed


def of_writable(storage: Storage, name: str, uri: str) -> Iterator[Check]:
    """Whether a folder can be written as a run does it: create-if-absent, If-Match, list, read, delete.

    One small object is made there, and removed.
    """
    from airflow_sklearn.exceptions import ObjectChangedError, ObjectExistsError
    from airflow_sklearn.runs.prediction import LEDGER_FOLDER
    from airflow_sklearn.storage import join

    probe = join(uri, LEDGER_FOLDER, f"doctor-{uuid.uuid4().hex}")
    fix = "Allow s3:PutObject, s3:GetObject, s3:DeleteObject and s3:ListBucket there (`airflow-sklearn policies`)."
    faults = []
    with _failing(name, fix) as failed:
        try:
            etag = storage.create(probe, b"one")
            with contextlib.suppress(ObjectExistsError):
                storage.create(probe, b"two")
                faults.append("create-if-absent replaced an object (If-None-Match is not respected)")
            etag = storage.stat(probe).etag
            changed = storage.replace(probe, b"three", etag=etag)
            with contextlib.suppress(ObjectChangedError):
                storage.replace(probe, b"four", etag=etag)
                faults.append("a version that is gone was replaced (If-Match is not respected)")
            if storage.read(probe, etag=changed if not faults else None)[:1] not in (b"t", b"f"):
                faults.append("an object that was written is not read back")
            if not any(obj.uri == probe for obj in storage.list(probe)):
                faults.append("an object that was written is not listed")
        finally:
            with contextlib.suppress(Exception):  # the first error says more
                storage.delete([probe])
        storage.delete([probe])
        if faults:
            yield Check(name, "fail", f"{uri}: {'; '.join(faults)}", "Use a storage that has conditional writes.")
        else:
            yield Check(name, "ok", f"{uri}: create-if-absent, If-Match, list, read and delete work")
    yield from failed


def find_model(storage: Storage, model: str) -> tuple[list[Check], ModelManifest | None]:
    """A model's manifest; None, with the reason, if there is none that can be read."""
    from airflow_sklearn.exceptions import ObjectNotFoundError
    from airflow_sklearn.runs.model_store import resolve_model

    fix = "Correct the URI, or allow s3:GetObject and s3:ListBucket there (`airflow-sklearn policies`)."
    with _failing("model", fix) as failed:
        try:
            return [], resolve_model(storage, model)[0]
        except ObjectNotFoundError as error:
            return [Check("model", "warn", str(error), "Nothing, if it is yet to be trained.")], None
    return failed, None


def of_model(storage: Storage, manifest: ModelManifest, python: str | None) -> Iterator[Check]:
    """Whether a model is whole, and fits the software of the jobs of this machine.

    :param python: the jobs' interpreter; None: this one.
    """
    from airflow_sklearn.runs.model_store import find_version
    from airflow_sklearn.runtimes.local import LocalRuntime
    from airflow_sklearn.system.software import version_differences

    whole = find_version(storage, manifest.model, manifest.version) is not None
    text = f"{manifest.model}, version {manifest.version}"
    fix = "" if whole else "Its artifact or sample is gone: train again."
    yield Check("model", "ok" if whole else "fail", text + ("" if whole else " is not whole"), fix)
    with _failing("versions", "Name an interpreter that has airflow-sklearn[worker]: --python.") as failed:
        runtime = LocalRuntime(python=python)
        if differences := version_differences(manifest.versions, runtime.package_versions()):
            strict = manifest.feature_schema.policies.version_mismatch == "error"
            yield Check(
                "versions",
                "fail" if strict else "warn",
                "; ".join(differences),
                "Predict where the model was trained, train again here, or set the policy version_mismatch=warn.",
            )
        else:
            yield Check("versions", "ok", "The software here is that of training")
    yield from failed


def of_ecs(
    aws: AwsAccess, cluster: str | None, definition: str | None, region: str | None, manifest: ModelManifest | None
) -> Iterator[Check]:
    """Whether an ECS cluster is active, and a task definition has what jobs need.

    :param manifest: the model that will be used there; None: any.
    """
    from airflow_sklearn.runtimes.ecs.task_definition import find_task_definition

    client = None
    with _failing("ECS", "Name a region: --region, or AWS_DEFAULT_REGION.") as failed:
        client = aws.client("ecs", region)
    yield from failed
    if cluster and client:
        with _failing("cluster", "Allow ecs:DescribeClusters, or correct --cluster and --region.") as failed:
            found = client.describe_clusters(clusters=[cluster])["clusters"]
            status = found[0]["status"] if found else "not there"
            fix = "" if status == "ACTIVE" else f"Create the cluster, or correct --cluster and --region ({region})."
            yield Check("cluster", "fail" if fix else "ok", f"{cluster} is {status}", fix)
        yield from failed
    if definition and client:
        with _failing("image", "Allow ecs:DescribeTaskDefinition, or correct --task-definition.") as failed:
            task = find_task_definition(client, definition, None)
            yield from _of_image(task.image, manifest)
            if not task.log_group:
                fix = "Add logConfiguration with awslogs: errors then come with the container's last lines."
                yield Check("log", "warn", f"{definition} has no log in CloudWatch", fix)
            else:
                yield Check("log", "ok", f"log group {task.log_group}")
            roles = client.describe_task_definition(taskDefinition=task.arn)["taskDefinition"]
            if not roles.get("taskRoleArn"):
                fix = "Add taskRoleArn: the container has no other rights (docs/guides/iam.md)."
                yield Check("task role", "fail", f"{definition} has no task role", fix)
            else:
                yield Check("task role", "ok", roles["taskRoleArn"])
        yield from failed


def _of_image(image: str, manifest: ModelManifest | None) -> Iterator[Check]:
    trained = manifest.versions.image if manifest else ""
    if "@sha256:" not in image and image.rpartition("/")[2].partition(":")[2] in ("", "latest"):
        fix = "Name a version or a digest: `latest` may be another image tomorrow."
        yield Check("image", "warn", f"{image} names no version", fix)
    elif trained and image not in (trained, trained.partition("@")[0]):
        fix = "Workers compare versions when they start. Predict with the image that trained, or train again."
        yield Check("image", "warn", f"{image}, and the model was made in {trained}", fix)
    else:
        yield Check("image", "ok", image)


class _Failed(list[Check]):
    """The check that failed by an error; empty: none did."""


@contextlib.contextmanager
def _failing(name: str, fix: str) -> Iterator[_Failed]:
    """Within the context, an error is a failed check."""
    failed = _Failed()
    try:
        yield failed
    except Exception as error:  # whatever it is, it would fail a task
        failed.append(Check(name, "fail", f"{type(error).__name__}: {error}", fix))


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""
