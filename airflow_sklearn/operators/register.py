"""``SklearnRegisterOperator``: stores a model that was fitted elsewhere as a version that can be predicted with."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from airflow_sklearn import settings
from airflow_sklearn.airflow_compat import conf
from airflow_sklearn.contract.arguments import check_all, column_names, is_known
from airflow_sklearn.contract.register_settings import RegisterSettings, check_digest
from airflow_sklearn.operators.base import identity_of, own_copy, static_outlets
from airflow_sklearn.operators.jobs import DEFAULT_DEADLINE
from airflow_sklearn.operators.links import ModelManifestLink
from airflow_sklearn.operators.places import check_location, check_source
from airflow_sklearn.operators.versions import ModelVersionOperator
from airflow_sklearn.runs.register_job import form_of, make_register_job
from airflow_sklearn.storage.uris import absolute_uri

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from airflow_sklearn.airflow_compat import Context
    from airflow_sklearn.contract.schema import Serializer
    from airflow_sklearn.datasets.base import WantedColumns
    from airflow_sklearn.datasets.places import Readable
    from airflow_sklearn.runtimes.base import Runtime


class SklearnRegisterOperator(ModelVersionOperator):
    """Store a fitted estimator from elsewhere, such as a notebook, as a version of a model.

    A container loads it, after its digest was compared, learns the feature schema from a sample of rows, and predicts
    them. Their predictions become the parity sample, which every worker predicts again before it predicts with the
    model. The version is then like a trained one, without metrics.

    Loading a file of joblib or pickle runs code that the file contains. The digest says that it is the file that you
    mean; whether to trust it is yours to decide. For files of ``skops`` see ``[airflow_sklearn] skops_trusted_types``.

    Returns ``{"model", "version", "manifest_uri", "manifest_sha256", "metrics", "rows", "reused"}``, which
    ``SklearnPlanOperator`` and ``sklearn_predict`` accept as their ``model``. Emits an asset event for the model's URI.

    :param fitted: the URI of the fitted estimator: a file of joblib, pickle or cloudpickle (``.joblib``, ``.pkl``,
        ``.pickle``, ``.cloudpickle``), a file of skops (``.skops``), or the folder of an MLflow model of the flavor
        ``sklearn``. (templated)
    :param sha256: the file's SHA-256, as ``sha256sum FILE`` prints it; of an MLflow model, that of the file that holds
        the estimator (``model.pkl``). Nothing is loaded before it matches. (templated)
    :param source: the sample: rows as the model will predict, with the columns that it was fitted on. A few hundred are
        enough; they should have all categories. A URI, several, a ``Dataset``, a ``RedshiftTable`` or a
        ``RedshiftQuery``. (templated)
    :param model: the URI of the model; versions are stored below it. (templated)
    :param target: the name of what the model predicts, which begins the names of the predictions. The sample need not
        have it. (templated)
    :param runtime: where the job runs. (templated)
    :param primary_key: the column or columns that identify a row. They are written with every prediction. (templated)
    :param features: the columns in the order in which the estimator takes them; default: the names that it was fitted
        with, else the columns of the sample that have no other role. (templated)
    :param excluded_columns: columns of the sample that are no features. (templated)
    :param expected: what the model predicted for the sample where it was fitted: a dict from the name of a prediction
        to the sample's column that holds it, such as ``{"churned_proba_yes": "score"}``. If predictions differ by more
        than rounding, the model is not registered. (templated)
    :param policies: how prediction handles values that the sample did not have, by the names in ``Policies``.
        (templated)
    :param persistence: the format in which the model is stored, ``joblib`` or ``skops``; see ``SklearnTrainOperator``.
    :param aws_conn_id: the Airflow connection for S3 and for the runtime.
    :param deferrable: wait in the triggerer, without a worker slot.
    :param poll_interval: seconds between two polls of the job; None: the runtime's.
    :param deadline: the longest time for the job, after which it ends itself, even if Airflow is gone; None: no limit.
    """

    template_fields: Sequence[str] = (
        "fitted",
        "sha256",
        "source",
        "model",
        "target",
        "runtime",
        "primary_key",
        "features",
        "excluded_columns",
        "expected",
        "policies",
        "aws_conn_id",
    )
    text_fields = ("fitted", "sha256", "model", "target", "aws_conn_id")
    template_fields_renderers = {"expected": "json", "policies": "json"}

    def __init__(
        self,
        *,
        fitted: str,
        sha256: str,
        source: Readable | str | Sequence[str] | Mapping[str, Any],
        model: str,
        target: str | None = None,
        primary_key: str | Sequence[str] = (),
        features: Sequence[str] = (),
        excluded_columns: str | Sequence[str] = (),
        expected: Mapping[str, str] | None = None,
        policies: Mapping[str, str] | None = None,
        persistence: Serializer = "joblib",
        runtime: Runtime,
        aws_conn_id: str | None = "aws_default",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float | None = None,
        deadline: timedelta | None = DEFAULT_DEADLINE,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            runtime=runtime,
            aws_conn_id=aws_conn_id,
            deferrable=deferrable,
            poll_interval=poll_interval,
            deadline=deadline,
            **kwargs,
        )
        self.fitted = fitted
        self.sha256 = sha256
        self.source = own_copy(source)
        self.model = model
        self.target = target
        self.primary_key = primary_key
        self.features = features
        self.excluded_columns = excluded_columns
        self.expected = expected
        self.policies = policies
        self.persistence = persistence
        self.check_early()
        self.outlets = [*self.outlets, *static_outlets(model)]

    def check_arguments(self) -> None:
        """See ``SklearnOperator.check_arguments``."""
        check_all(
            super().check_arguments,
            self._check_fitted,
            lambda: check_digest("sha256", self.sha256),
            lambda: check_source(self.source),
            lambda: check_location("model", self.model),
            lambda: RegisterSettings.check(self._asked()),
        )

    def _check_fitted(self) -> None:
        check_location("fitted", self.fitted)
        if is_known(self.fitted):
            form_of(self.fitted)

    def work(self, context: Context) -> dict[str, Any]:
        """Register the model, unless its version exists. The class documents the result."""
        from airflow_sklearn.datasets.registry import as_source

        if (answer := self.answer_before_the_job(context)) is not None:
            return answer
        resolved = as_source(self.source).resolve(self.attempt_in(context), self._wanted_columns())
        if (answer := self.answer_before_the_job(context, resolved)) is not None:
            return answer
        identity, runtime = identity_of(context), self._bound_runtime
        job, job_uri = make_register_job(
            self.storage,
            settings=RegisterSettings.asked(self._asked()).model_copy(update={"excluded_columns": resolved.excluded}),
            identity=identity,
            attempt=f"{identity.try_number}-{secrets.token_hex(4)}",
            fitted=absolute_uri(self.fitted),
            sha256=self.sha256,
            source=resolved.files,
            snapshot=resolved.snapshot,
            model=absolute_uri(self.model).rstrip("/"),
            software=self._patiently(runtime.software_fingerprint),
            image=runtime.image,
            deadline_seconds=self.deadline.total_seconds() if self.deadline else None,
            trusted_types=settings.names("skops_trusted_types"),
        )
        self.store_link(context, ModelManifestLink, f"{job.model}/versions/{job.version}/manifest.json")
        return self.run_job(context, job_uri, job)

    def _asked(self) -> dict[str, Any]:
        """The arguments that are settings of a registration, by name."""
        return {name: getattr(self, name) for name in RegisterSettings.model_fields}

    def _wanted_columns(self) -> WantedColumns:
        from airflow_sklearn.datasets.base import WantedColumns

        roles = {
            "primary_key": list(column_names(self.primary_key)),
            "features": list(column_names(self.features)),
            "expected": list((self.expected or {}).values()),
        }
        return WantedColumns(roles, column_names(self.excluded_columns), with_others=not self.features)
