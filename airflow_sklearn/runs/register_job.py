"""Making the job of a registration: list the sample, derive the version. Nothing is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from airflow_sklearn.contract.jobs import RegisterJob
from airflow_sklearn.contract.model import RegisteredEstimator
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.runs.table_formats import refuse_table_formats
from airflow_sklearn.runs.train_job import named_by_version

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_sklearn.contract.data import SourceFiles
    from airflow_sklearn.contract.jobs import JobIdentity
    from airflow_sklearn.contract.register_settings import RegisterSettings
    from airflow_sklearn.contract.tables import Snapshot
    from airflow_sklearn.storage import Storage

_PICKLES = (".joblib", ".pkl", ".pickle", ".cloudpickle")


def make_register_job(
    storage: Storage,
    *,
    settings: RegisterSettings,
    identity: JobIdentity,
    attempt: str,
    fitted: str,
    sha256: str,
    source: SourceFiles,
    model: str,
    software: str,
    image: str,
    deadline_seconds: float | None,
    snapshot: Snapshot | None = None,
    salt: Sequence[str | int] = (),
    trusted_types: Sequence[str] = (),
) -> tuple[RegisterJob, str]:
    """Make the job of a registration.

    Parameters that are not listed are those of ``make_train_job``.

    :param fitted: the URI of the file with the fitted estimator, or of an MLflow model's folder.
    :param sha256: the file's digest; of an MLflow model, that of the file that holds the estimator.
    :param source: the sample: rows as the model will predict.
    :param trusted_types: the types that a file of skops may contain.
    :return: the job, and the URI at which to store it.
    :raises ObjectNotFoundError: the sample matches no object.
    :raises UserError: the form of the file is not clear from its name.
    """
    objects = storage.expand(source.uris, allow_empty=snapshot is not None)
    if snapshot is None:
        refuse_table_formats(storage, source, objects)
    job = RegisterJob(
        identity=identity,
        result_uri="",
        deadline_seconds=deadline_seconds,
        model=model,
        version="",
        estimator=RegisteredEstimator(uri=fitted, sha256=sha256, form=form_of(fitted)),
        source=source,
        objects=objects,
        snapshot=snapshot,
        image=image,
        trusted_types=tuple(trusted_types),
        **dict(settings),
    )
    return named_by_version(job, software, salt, attempt)


def form_of(uri: str) -> Literal["pickle", "skops", "mlflow"]:
    """The form of a fitted estimator, by its URI: a folder is a model of MLflow.

    :raises UserError: it is not clear.
    """
    name = uri.rpartition("/")[2]
    if name.endswith(".skops"):
        return "skops"
    if name.endswith(_PICKLES):
        return "pickle"
    if not name or "." not in name:
        return "mlflow"
    raise UserError(
        f"fitted={uri!r}: the ending tells no format. Give a file that ends in {', '.join((*_PICKLES, '.skops'))}, or "
        "the folder of an MLflow model."
    )
