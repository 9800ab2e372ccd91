"""Making the job of a training run: list the source, store the estimator, derive the version. Nothing is fitted."""

from __future__ import annotations

import contextlib
import hashlib
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_sklearn.contract.arguments import check_estimator, check_estimator_of_each
from airflow_sklearn.contract.document import content_id
from airflow_sklearn.contract.jobs import RegisterJob, TrainJob
from airflow_sklearn.contract.model import (
    FactoryEstimator,
    PickledEstimator,
    PresetEstimator,
    SeveralEstimators,
)
from airflow_sklearn.exceptions import ObjectExistsError
from airflow_sklearn.runs.estimator_objects import description, digest, pickled
from airflow_sklearn.runs.table_formats import refuse_table_formats
from airflow_sklearn.storage import join

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_sklearn.contract.data import SourceFiles
    from airflow_sklearn.contract.jobs import JobIdentity, SearchPool, VersionJob
    from airflow_sklearn.contract.model import EstimatorSpec
    from airflow_sklearn.contract.tables import Snapshot
    from airflow_sklearn.contract.train_settings import TrainSettings
    from airflow_sklearn.storage import Storage

_J = TypeVar("_J", TrainJob, RegisterJob)


def make_train_job(
    storage: Storage,
    *,
    settings: TrainSettings,
    identity: JobIdentity,
    attempt: str,
    estimator: Any,
    estimator_params: Mapping[str, Any],
    source: SourceFiles,
    model: str,
    software: str,
    image: str,
    deadline_seconds: float | None,
    snapshot: Snapshot | None = None,
    transformer: Any = None,
    salt: Sequence[str | int] = (),
    search: SearchPool | None = None,
    trusted_types: Sequence[str] = (),
) -> tuple[TrainJob, str]:
    """Make the job of a training run. An estimator object is stored; nothing else is.

    Parameters that are not listed are those of ``SklearnTrainOperator``.

    :param storage: where the source and the model are.
    :param identity: the Airflow task.
    :param attempt: the unique name of this attempt.
    :param estimator: a preset's name, a factory ``"package.module:callable"``, or an estimator object.
    :param software: identifies the software that will fit; a part of the version.
    :param image: the container image that will fit; empty: none.
    :param deadline_seconds: seconds after which the job ends itself; None: never.
    :param snapshot: the state of the table that the source was unloaded from; None: the source is files.
    :param transformer: a factory or a transformer that replaces the package's preprocessing; None: none does.
    :param salt: values that make a new version of inputs that were trained before.
    :param trusted_types: the types that a model in the format skops may contain.
    :param search: the pool of containers to fit in beside the job's own; None: there is none.
    :return: the job, and the URI at which to store it.
    :raises ObjectNotFoundError: the source matches no object.
    :raises UserError: parameters contradict each other, or the source is a Delta, Iceberg or Hudi table.
    """
    check_estimator(estimator, estimator_params)
    check_estimator_of_each(estimator, settings.targets)
    objects = storage.expand(source.uris, allow_empty=snapshot is not None)
    if snapshot is None:
        refuse_table_formats(storage, source, objects)
    job = TrainJob(
        identity=identity,
        result_uri="",
        deadline_seconds=deadline_seconds,
        model=model,
        version="",
        estimator=_estimator_spec(storage, model, estimator, dict(estimator_params)),
        transformer=_transformer_spec(storage, model, transformer, settings),
        source=source,
        objects=objects,
        snapshot=snapshot,
        image=image,
        search=search,
        trusted_types=tuple(trusted_types) if settings.persistence == "skops" else (),
        **dict(settings),
    )
    return named_by_version(job, software, salt, attempt)


def named_by_version(job: _J, software: str, salt: Sequence[str | int], attempt: str) -> tuple[_J, str]:
    """A job with the version of what it makes, and with the URI of its result.

    :param job: a job without these.
    :param attempt: the unique name of this attempt.
    :return: the job, and the URI at which to store it.
    """
    version = _version(job, software, salt)
    jobs = join(job.model, "versions", version, "jobs")
    named = {"version": version, "result_uri": join(jobs, f"{attempt}.result.json")}
    return job.model_copy(update=named), join(jobs, f"{attempt}.json")


def _version(job: VersionJob, software: str, salt: Sequence[str | int]) -> str:
    """A hash of the model's inputs, and of nothing else: neither of who asked for it, nor of where it is stored."""
    where_and_who = {"identity", "result_uri", "deadline_seconds", "model", "version", "search", "show_values"}
    inputs = job.model_dump(mode="json", exclude=where_and_who | {"written_by", "trusted_types"})
    inputs["format"] = f"{job.FORMAT}/1"  # the name of version 1 of the format: model versions must not change
    for name in ("estimator", "transformer"):
        spec = getattr(job, name, None)
        if isinstance(spec, PickledEstimator):
            inputs[name] = spec.content or spec.sha256
    return content_id([inputs, software, *salt])


def _transformer_spec(storage: Storage, model: str, transformer: Any, settings: TrainSettings) -> EstimatorSpec | None:
    if transformer is None:
        return None
    return _estimator_spec(storage, model, transformer, dict(settings.preprocessing_params))


def _estimator_spec(storage: Storage, model: str, estimator: Any, params: dict[str, Any]) -> EstimatorSpec:
    if isinstance(estimator, Mapping):
        return SeveralEstimators(
            by_target={name: _text_spec(one, dict(params.get(name, {}))) for name, one in estimator.items()}
        )
    return _text_spec(estimator, params) if isinstance(estimator, str) else _store_object(storage, model, estimator)


def _text_spec(estimator: str, params: dict[str, Any]) -> PresetEstimator | FactoryEstimator:
    if ":" in estimator:
        return FactoryEstimator(path=estimator, params=params)
    return PresetEstimator(name=estimator, params=params)


def _store_object(storage: Storage, model: str, estimator: Any) -> PickledEstimator:
    """Store an estimator object below the model's URI. Its name is the digest of its content."""
    data = pickled(estimator)
    sha256 = hashlib.sha256(data).hexdigest()
    uri = join(model, "estimators", f"{sha256}.pkl")
    with contextlib.suppress(ObjectExistsError):  # stored by an earlier run; the name shows that it is the same
        storage.create(uri, data)
    return PickledEstimator(
        uri=uri,
        sha256=sha256,
        description=description(estimator),
        content=digest([estimator, config := _sklearn_config()]),
        sklearn_config=config,
    )


def _sklearn_config() -> dict[str, Any]:
    """The settings that the DAG file has changed with ``sklearn.set_config``."""
    if "sklearn" not in sys.modules:
        return {}
    from airflow_sklearn.system.sklearn_config import changed_config

    return changed_config()
