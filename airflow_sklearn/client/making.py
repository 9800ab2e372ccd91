"""Making versions of models with the client: training, and registering what was fitted elsewhere."""

from __future__ import annotations

import hashlib
import io
import uuid
from typing import TYPE_CHECKING, Any

import joblib

from airflow_sklearn.client.jobs import run
from airflow_sklearn.client.model import Model, load
from airflow_sklearn.client.rows import as_files, with_defaults
from airflow_sklearn.contract.arguments import check_names
from airflow_sklearn.contract.jobs import JobIdentity
from airflow_sklearn.contract.misplaced import belongs
from airflow_sklearn.contract.preprocessing import is_replacement
from airflow_sklearn.contract.register_settings import RegisterSettings, check_digest
from airflow_sklearn.contract.train_settings import CALLED, TrainSettings
from airflow_sklearn.contract.validation import HeldOut, HeldOutRows
from airflow_sklearn.contract.will_score import WillScore, as_will_score, scored_table
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.models.factories import check_estimator_object
from airflow_sklearn.runs.model_store import make_latest
from airflow_sklearn.runs.register_job import make_register_job
from airflow_sklearn.runs.train_job import make_train_job
from airflow_sklearn.runtimes.software import describe
from airflow_sklearn.storage import Storage, join
from airflow_sklearn.storage.uris import place_uri

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_sklearn.contract.jobs import VersionJob
    from airflow_sklearn.runtimes.base import Runtime


def train(
    estimator: Any,
    rows: Any,
    *,
    target: str | Sequence[str] | None = None,
    model: str,
    estimator_params: Mapping[str, Any] | None = None,
    runtime: Runtime | None = None,
    storage: Storage | None = None,
    **settings: Any,
) -> Model:
    """Train a version of a model, unless the same version exists.

    :param estimator: a preset's name, a factory ``"package.module:callable"``, or an estimator object.
    :param rows: the training table: a DataFrame, a pyarrow Table, or files.
    :param target: the column to predict; None: the estimator needs none.
    :param model: the URI or the path of the model. Rows in memory are stored below it.
    :param estimator_params: parameters of the preset, or arguments of the factory.
    :param runtime: where the job runs, such as ``LocalRuntime()``; None: in this process.
    :param storage: access to the URIs; None: with the environment's credentials.
    :param settings: further arguments of ``SklearnTrainOperator`` that are settings of a training, such as
        ``primary_key``, ``cross_validation`` or ``policies``.
    :raises UserError: an argument is invalid, or the estimator cannot be fitted.
    :raises DataError: the table cannot be learned from; the error carries all problems.
    """
    storage, model = storage or Storage(), place_uri(model)
    names = {CALLED.get(name, name) for name in TrainSettings.model_fields} - {"target"}
    check_names("client.train", settings, names, belongs)
    settings |= {name: settings.pop(argument) for name, argument in CALLED.items() if argument in settings}
    preprocessing = settings.get("preprocessing", "auto")
    if isinstance(held_out := settings.get("validation"), HeldOut):
        files = as_files(storage, held_out.source, join(model, "rows"))
        settings["validation"] = HeldOutRows(source=files, objects=storage.expand(files.uris))
    if isinstance(scored := as_will_score(settings.get("will_score")), WillScore):
        files = as_files(storage, scored.source, join(model, "rows"))
        name, objects = ", ".join(files.uris), storage.expand(files.uris)
        settings["will_score"] = scored_table(scored, name, source=files, objects=objects)
    job, job_uri = make_train_job(
        storage,
        settings=TrainSettings.asked(with_defaults(TrainSettings, {**settings, "target": target})),
        identity=JobIdentity(),
        attempt=uuid.uuid4().hex,
        estimator=estimator,
        estimator_params=estimator_params or {},
        source=as_files(storage, rows, join(model, "rows")),
        model=model,
        software=_software(runtime, estimator),
        image=runtime.image if runtime else "",
        deadline_seconds=None,
        transformer=preprocessing if is_replacement(preprocessing) else None,
    )
    return _made(storage, job, job_uri, runtime)


def register(
    fitted: Any,
    sample: Any,
    *,
    sha256: str = "",
    target: str | None = None,
    model: str,
    runtime: Runtime | None = None,
    storage: Storage | None = None,
    **settings: Any,
) -> Model:
    """Store a fitted estimator as a version of a model.

    :param fitted: a fitted estimator, or the URI or path of one; see ``SklearnRegisterOperator``.
    :param sample: rows as the model will predict: a DataFrame, a pyarrow Table, or files.
    :param sha256: the digest of the file, if ``fitted`` is one.
    :param target: the name of what the model predicts.
    :param model: the URI or the path of the model. Rows in memory are stored below it.
    :param runtime: where the job runs; None: in this process.
    :param storage: access to the URIs; None: with the environment's credentials.
    :param settings: further arguments of ``SklearnRegisterOperator`` that are settings of a registration, such as
        ``primary_key``, ``features`` or ``expected``.
    :raises UserError: the estimator has another digest, is not fitted, or does not fit the sample.
    :raises DataError: the sample cannot be read; the error carries all problems.
    """
    storage, model = storage or Storage(), place_uri(model)
    check_names("client.register", settings, frozenset(RegisterSettings.model_fields) - {"target"})
    if isinstance(fitted, str):
        check_digest("sha256", sha256)
        uri = place_uri(fitted)
    else:
        uri, sha256 = _stored(storage, fitted, join(model, "fitted"))
    job, job_uri = make_register_job(
        storage,
        settings=RegisterSettings.asked(with_defaults(RegisterSettings, {**settings, "target": target})),
        identity=JobIdentity(),
        attempt=uuid.uuid4().hex,
        fitted=uri,
        sha256=sha256,
        source=as_files(storage, sample, join(model, "rows")),
        model=model,
        software=_software(runtime, ""),
        image=runtime.image if runtime else "",
        deadline_seconds=None,
    )
    return _made(storage, job, job_uri, runtime)


def _made(storage: Storage, job: VersionJob, job_uri: str, runtime: Runtime | None) -> Model:
    found = make_latest(storage, job.model, job.version)
    manifest_uri = found[0] if found else run(storage, job, job_uri, runtime).output_uri
    return load(manifest_uri, storage=storage)


def _software(runtime: Runtime | None, estimator: Any) -> str:
    """Identifies the software that fits; a part of the version."""
    module = estimator.partition(":")[0] if isinstance(estimator, str) and ":" in estimator else ""
    return runtime.software_fingerprint(module) if runtime else describe(module)


def _stored(storage: Storage, estimator: Any, folder: str) -> tuple[str, str]:
    """Store a fitted estimator, named by its digest.

    :raises UserError: it is no estimator, or cannot be pickled.
    """
    check_estimator_object(estimator)
    buffer = io.BytesIO()
    try:
        joblib.dump(estimator, buffer)
    except Exception as error:
        raise UserError(
            f"The {type(estimator).__name__} cannot be stored ({type(error).__name__}: {error}). Estimators must "
            "survive pickling: replace lambdas and local classes by those of an importable module."
        ) from error
    data = buffer.getvalue()
    digest = hashlib.sha256(data).hexdigest()
    uri = join(folder, f"{digest}.joblib")
    storage.write(uri, data)
    return uri, digest
