"""``SklearnTrainOperator``: one table in, one version of a model out."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_sklearn.contract.document import content_id
from airflow_sklearn.contract.jobs import JobResult, TrainJob
from airflow_sklearn.contract.model import (
    EstimatorSpec,
    FactoryEstimator,
    ModelManifest,
    ModelPointer,
    PickledEstimator,
    PresetEstimator,
)
from airflow_sklearn.contract.schema import Policies
from airflow_sklearn.datasets import absolute_uri, as_source
from airflow_sklearn.exceptions import ObjectExistsError, ObjectNotFoundError, UserError
from airflow_sklearn.links import ModelManifestLink
from airflow_sklearn.operators.base import identity_of, own_copy, static_outlets
from airflow_sklearn.operators.jobs import RuntimeOperator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.providers.common.compat.sdk import Context

    from airflow_sklearn.contract.jobs import JobIdentity
    from airflow_sklearn.datasets import Source
    from airflow_sklearn.storage import Storage


class SklearnTrainOperator(RuntimeOperator):
    """Train a scikit-learn estimator on one table, in a container or a process.

    The version of the model is a hash of all that goes into it: the source's objects, the estimator, the settings and
    the software. A version that exists is not fitted again (``reuse``).

    Returns ``{"model", "version", "manifest_uri", "manifest_sha256", "metrics", "rows", "reused"}``, which
    ``SklearnPlanOperator`` and ``sklearn_predict`` take as their ``model``. Emits an asset event for the model's URI.

    :param estimator: the name of a preset (``sparse_logistic``), a factory ``"package.module:callable"`` that the
        worker can import, or an unfitted estimator object. (templated)
    :param source: what to learn from: a URI, several, or a ``Dataset``. (templated)
    :param target: the column to predict; rows where it is null are dropped. (templated)
    :param model: the URI of the model; versions lie below it. (templated)
    :param runtime: where the job runs. (templated)
    :param estimator_params: set on the preset's estimator, or passed to the factory. (templated)
    :param primary_key: the column or columns that identify a row: not learned from, and written with every
        prediction. (templated)
    :param excluded_columns: columns that are not learned from. (templated)
    :param sample_weight: the column with the rows' weights. (templated)
    :param cross_validation: folds of the cross-validated metrics; 0 skips them.
    :param preprocessing: ``default`` puts the package's preprocessing (nulls, categories, dates) before the
        estimator, ``none`` does not, ``auto`` does unless the estimator is a Pipeline.
    :param policies: what prediction does with data that differ from training's, by name of ``Policies``. (templated)
    :param reuse: False fits again even if the same version exists.
    :param aws_conn_id: the Airflow connection for S3 and for the runtime.
    :param deferrable: wait in the triggerer, without a worker slot.
    :param poll_interval: seconds between looks at the job; default: the runtime's.
    :param deadline: the longest that the job may run; it stops itself then, even if Airflow is gone. None: for ever.
    """

    template_fields: Sequence[str] = (
        "estimator",
        "estimator_params",
        "source",
        "target",
        "model",
        "runtime",
        "primary_key",
        "excluded_columns",
        "sample_weight",
        "policies",
        "aws_conn_id",
    )
    template_fields_renderers = {"estimator_params": "json", "policies": "json"}
    operator_extra_links = (ModelManifestLink(),)
    ui_color = "#f7d9b8"

    def __init__(
        self,
        *,
        estimator: Any,
        source: Source | str | Sequence[str] | Mapping[str, Any],
        target: str,
        model: str,
        estimator_params: Mapping[str, Any] | None = None,
        primary_key: str | Sequence[str] = (),
        excluded_columns: Sequence[str] = (),
        sample_weight: str | None = None,
        cross_validation: int = 4,
        preprocessing: str = "auto",
        policies: Mapping[str, str] | None = None,
        reuse: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.estimator = estimator
        self.source = own_copy(source)
        self.target = target
        self.model = model
        self.estimator_params = estimator_params
        self.primary_key = primary_key
        self.excluded_columns = excluded_columns
        self.sample_weight = sample_weight
        self.cross_validation = cross_validation
        self.preprocessing = preprocessing
        self.policies = policies
        self.reuse = reuse
        self.outlets = [*self.outlets, *static_outlets(model)]

    def work(self, context: Context) -> dict[str, Any]:
        storage, identity = self.storage, identity_of(context)
        job = self._make_job(storage, identity)
        manifest_uri = f"{job.model}/versions/{job.version}/manifest.json"
        try:
            data = storage.read(manifest_uri) if self.reuse else None
        except ObjectNotFoundError:
            data = None
        if data is not None:
            self.log.info("Trained already, from the same bytes with the same settings: nothing is fitted again.")
            sha256 = hashlib.sha256(data).hexdigest()
            pointer = ModelPointer(version=job.version, manifest_uri=manifest_uri, manifest_sha256=sha256)
            storage.write(f"{job.model}/latest.json", pointer.to_json())
            return self._answer(context, manifest_uri, data, reused=True)
        self.log.info(
            "Training version %s of %s from %d objects (%.1f MB).",
            *(job.version, job.model, len(job.objects), sum(obj.size for obj in job.objects) / 1e6),
        )
        attempt = f"{job.model}/versions/{job.version}/jobs/{identity.try_number}-{secrets.token_hex(4)}"
        job = job.model_copy(update={"result_uri": f"{attempt}.result.json"})
        return self.run_job(context, f"{attempt}.json", job)

    def finish(self, context: Context, result: JobResult) -> dict[str, Any]:
        return self._answer(context, result.output_uri, self.storage.read(result.output_uri), reused=False)

    def _make_job(self, storage: Storage, identity: JobIdentity) -> TrainJob:
        source = as_source(self.source)
        job = TrainJob(
            identity=identity,
            result_uri="",
            deadline_seconds=self.deadline.total_seconds() if self.deadline else None,
            model=absolute_uri(self.model).rstrip("/"),
            version="",
            estimator=self._estimator_spec(storage),
            target=self.target,
            primary_key=_names(self.primary_key),
            excluded_columns=_names(self.excluded_columns),
            sample_weight=self.sample_weight or None,
            preprocessing=self.preprocessing,  # type: ignore[arg-type] - checked by the document
            cross_validation=self.cross_validation,
            policies=Policies.model_validate(self.policies or {}),
            source=source,
            objects=storage.expand(source.uris),
            image=self.runtime.image,
        )
        return job.model_copy(update={"version": self._version(job)})

    def _version(self, job: TrainJob) -> str:
        """A hash of what goes into the model, and of nothing else: not of who asked, nor where the model is stored."""
        inputs = job.model_dump(mode="json", exclude={"identity", "result_uri", "deadline_seconds", "model", "version"})
        if isinstance(job.estimator, PickledEstimator):
            inputs["estimator"] = job.estimator.sha256
        software = self._bound_runtime.environment()
        identity = job.identity
        who = [] if self.reuse else [identity.dag_id, identity.task_id, identity.run_id, identity.map_index]
        return content_id([inputs, software, *who])

    def _estimator_spec(self, storage: Storage) -> EstimatorSpec:
        params = dict(self.estimator_params or {})
        if isinstance(self.estimator, str):
            if ":" in self.estimator:
                return FactoryEstimator(path=self.estimator, params=params)
            return PresetEstimator(name=self.estimator, params=params)
        if params:
            raise UserError(
                "estimator_params go with a preset or a factory. An estimator object has its parameters set."
            )
        return _store_object(storage, absolute_uri(self.model).rstrip("/"), self.estimator)

    def _answer(self, context: Context, manifest_uri: str, data: bytes, *, reused: bool) -> dict[str, Any]:
        manifest = ModelManifest.from_json(data, where=manifest_uri)
        self.log.info(
            "Model %s, version %s, of %s rows: %s",
            manifest.model,
            manifest.version,
            f"{manifest.source.rows_used:,}",
            ", ".join(f"{name} {value:.4g}" for name, value in manifest.metrics.items() if value is not None)
            or "no metrics",
        )
        ModelManifestLink.persist(context, manifest_uri)
        answer = {
            "model": manifest.model,
            "version": manifest.version,
            "manifest_uri": manifest_uri,
            "manifest_sha256": hashlib.sha256(data).hexdigest(),
            "metrics": dict(manifest.metrics),
            "rows": manifest.source.rows_used,
            "reused": reused,
        }
        self.announce(context, manifest.model, answer)
        return answer


def _store_object(storage: Storage, model: str, estimator: Any) -> PickledEstimator:
    """Store an estimator object below the model's URI, under a name that is its content's digest."""
    import cloudpickle

    data = cloudpickle.dumps(estimator)
    sha256 = hashlib.sha256(data).hexdigest()
    uri = f"{model}/estimators/{sha256}.pkl"
    try:
        storage.create(uri, data)
    except ObjectExistsError:
        pass  # of an earlier run: the name says that it is the same
    return PickledEstimator(uri=uri, sha256=sha256, description=repr(estimator))


def _names(value: str | Sequence[str] | None) -> tuple[str, ...]:
    """One column name, or several."""
    return (value,) if isinstance(value, str) and value else tuple(value or ())
