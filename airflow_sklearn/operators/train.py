"""``SklearnTrainOperator``: trains one version of a model on one table."""

from __future__ import annotations

import secrets
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_sklearn import settings as package_settings
from airflow_sklearn.airflow_compat import conf
from airflow_sklearn.contract.arguments import (
    Preprocessing,
    check_all,
    check_estimator,
    check_estimator_of_each,
    check_flag,
    check_target,
    column_names,
)
from airflow_sklearn.contract.faults import counted
from airflow_sklearn.contract.preprocessing import is_replacement
from airflow_sklearn.contract.presets import PRESET_NAMES
from airflow_sklearn.contract.train_settings import CALLED, TrainSettings
from airflow_sklearn.contract.validation import HeldOut, folds_and_way
from airflow_sklearn.contract.will_score import WillScore, as_will_score
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.operators.base import clears_of, identity_of, own_copy, static_outlets
from airflow_sklearn.operators.jobs import DEFAULT_DEADLINE
from airflow_sklearn.operators.links import ModelManifestLink
from airflow_sklearn.operators.places import check_destination, check_held_out, check_location, check_source
from airflow_sklearn.operators.versions import ModelVersionOperator
from airflow_sklearn.runs.estimator_objects import check_can_be_stored, held, wrapped
from airflow_sklearn.runs.search import check_spreads, checked_containers
from airflow_sklearn.storage.uris import absolute_uri

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from airflow_sklearn.airflow_compat import Context
    from airflow_sklearn.contract.fit_settings import Calibration, ClassWeight, ThresholdMetric
    from airflow_sklearn.contract.jobs import SearchPool
    from airflow_sklearn.contract.model import ModelManifest
    from airflow_sklearn.contract.schema import Serializer
    from airflow_sklearn.contract.search import Search
    from airflow_sklearn.contract.validation import Asked
    from airflow_sklearn.contract.will_score import ScoredTable
    from airflow_sklearn.datasets.base import WantedColumns
    from airflow_sklearn.datasets.places import Readable, Writable
    from airflow_sklearn.runtimes.base import Runtime


class SklearnTrainOperator(ModelVersionOperator):
    """Train a scikit-learn estimator on one table, in a container or a local process.

    A table or a query of Redshift is unloaded first: training sees its rows at that moment. A task that is cleared
    unloads, and fits, again.

    The version of the model is a hash of its inputs: the source's objects, the estimator, the settings and the
    software. A version that exists is not fitted again (``reuse``). Of your own code, the hash includes the source of a
    factory's module, if the runtime can find it, but not the modules that it imports. Of an estimator object it
    includes the parameters, but not the code of importable classes and functions. Change ``code_version`` when such
    code changes.

    A model may have several targets: they are fitted from one table, into one artifact, and a row that lacks one of
    them still trains the others. The model's URI stands for the version that was trained last.

    Returns ``{"model", "version", "manifest_uri", "manifest_sha256", "metrics", "rows", "reused"}``, which
    ``SklearnPlanOperator`` and ``sklearn_predict`` accept as their ``model``. Emits an asset event for the model's URI.

    :param estimator: the name of a preset (``sparse_logistic``), a factory ``"package.module:callable"`` that the
        worker can import, or an unfitted estimator object. Of several targets a dict of names by target, where they
        differ: ``{"churned": "sparse_logistic", "spend": "sparse_ridge_regressor"}``. (templated)
    :param source: the training table: a URI, several, a ``Dataset``, a ``RedshiftTable`` or a ``RedshiftQuery``.
        (templated)
    :param target: the column to predict, or a list of several. Rows without any target are dropped. None: the
        estimator groups rows (KMeans), transforms them (PCA) or finds outliers (IsolationForest); nothing is validated
        then. (templated)
    :param model: the URI of the model; versions are stored below it. (templated)
    :param runtime: where the job runs. (templated)
    :param estimator_params: parameters of the preset's estimator, or arguments of the factory; by target if
        ``estimator`` is. (templated)
    :param primary_key: the column or columns that identify a row. They are not learned from, and are written with every
        prediction. (templated)
    :param excluded_columns: columns that are not learned from. (templated)
    :param sample_weight: the column with the rows' weights. (templated)
    :param fit_params: columns by the name of a parameter of the estimator's ``fit``, such as
        ``{"sample_weight": "w"}``. (templated)
    :param class_weight: ``balanced``: each class counts the same in fitting.
    :param calibration: how probabilities are calibrated: ``sigmoid``, ``isotonic`` or ``temperature``.
    :param threshold: two classes: the metric for which the decision threshold is tuned (``f1``, ``balanced_accuracy``,
        ``accuracy``), or the threshold. Predicted classes are decided by it.
    :param cross_validation: the number of folds for the metrics; 0: no metrics.
    :param validation: another way to validate: ``GroupFolds("customer")``, ``TimeFolds("date", gap=timedelta(days=7))``
        or ``HeldOut("s3://acme/test.parquet")``; or a number of folds, ``"none"``. None: as ``cross_validation`` says.
        (templated)
    :param metrics_by: columns such as ``["region"]``: the metrics are computed also for the rows of each of their
        values. (templated)
    :param out_of_sample: where to publish the out-of-sample scores, which are always stored beside the model: each
        row's prediction by the model that did not see it, with key, target and fold. A folder's URI, a ``Dataset`` of
        Parquet, or a ``RedshiftTable``. (templated)
    :param preprocessing: ``default`` puts the package's preprocessing (nulls, categories, dates) before the estimator,
        ``none`` does not. ``auto`` does unless the estimator is or wraps a Pipeline (in a search, a vote, a stack, a
        transformed target). Or a transformer of your own, as an object or ``"package.module:callable"``; it replaces
        a preset's as well.
    :param preprocessing_params: parameters of the package's preprocessing, such as ``{"max_levels": 100,
        "min_frequency": 5}``: see docs/guides/presets.md. Or the arguments of the callable. (templated)
    :param policies: how prediction handles values that training did not have, by the names in ``Policies``. (templated)
    :param persistence: the format in which the model is stored: ``joblib``, or ``skops``, which holds no pickle. The
        worker needs ``skops`` then, and all types in the model must be trusted: by skops itself, by Airflow's
        ``[airflow_sklearn] skops_trusted_types``, or by the worker's ``AIRFLOW_SKLEARN_SKOPS_TRUSTED_TYPES``.
    :param will_score: the table that the model will score: a URI, several, a ``Dataset``, a ``RedshiftTable`` or a
        ``RedshiftQuery``. Before anything is fitted, columns that this table lacks, or that are constant or null there,
        and columns that alone predict the target almost perfectly, are listed together as an error;
        ``WillScore(..., unfit_columns="exclude", keep=["deposit"])`` leaves them out of learning. (templated)
    :param search: a search for the best parameters, of any preset or estimator: ``"randomized"``; a grid,
        ``{"C": [0.1, 1]}``; or ``Search("hyperband", {"learning_rate": [0.05, 0.1]}, scoring="roc_auc")``. Without
        ``params`` the preset's own are searched. The metrics are those of the whole search: each fold of the validation
        searches anew. (templated)
    :param reuse: False: fit a new version in every run, and when the task is cleared. A retry still uses what an
        earlier attempt since the last clear has fitted.
    :param code_version: any value that changes with your code, such as a commit's hash or ``"2"``. It is a part of the
        model's version. (templated)
    :param search_containers: the number of further containers of the same runtime to fit in, 2 or more; None: none. The
        job's own container then only distributes the work: for a search (``search=``, ``GridSearchCV``) the fits of
        each fold and parameters, in general all that the estimator runs by joblib with ``n_jobs=None``; of an estimator
        that is fitted in one piece the folds of the validation. The container needs permissions for it:
        ``python -m airflow_sklearn.iam --search-containers``.
    :param aws_conn_id: the Airflow connection for S3 and for the runtime.
    :param deferrable: wait in the triggerer, without a worker slot.
    :param poll_interval: seconds between two polls of the job; None: the runtime's.
    :param deadline: the longest time for the job, after which it ends itself, even if Airflow is gone; None: no limit.
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
        "fit_params",
        "validation",
        "metrics_by",
        "preprocessing_params",
        "search",
        "will_score",
        "out_of_sample",
        "policies",
        "code_version",
        "aws_conn_id",
    )
    text_fields = ("target", "model", "sample_weight", "code_version", "aws_conn_id")
    template_fields_renderers = {"estimator_params": "json", "policies": "json"}

    def __init__(
        self,
        *,
        estimator: Any,
        source: Readable | str | Sequence[str] | Mapping[str, Any],
        target: str | Sequence[str] | None = None,
        model: str,
        estimator_params: Mapping[str, Any] | None = None,
        primary_key: str | Sequence[str] = (),
        excluded_columns: Sequence[str] = (),
        sample_weight: str | None = None,
        fit_params: Mapping[str, str] | None = None,
        class_weight: ClassWeight | None = None,
        calibration: Calibration | None = None,
        threshold: ThresholdMetric | float | None = None,
        cross_validation: int = 4,
        validation: Asked | None = None,
        metrics_by: str | Sequence[str] = (),
        out_of_sample: Writable | str | Mapping[str, Any] | None = None,
        preprocessing: Preprocessing | Any = "auto",
        preprocessing_params: Mapping[str, Any] | None = None,
        policies: Mapping[str, str] | None = None,
        persistence: Serializer = "joblib",
        will_score: WillScore | Readable | str | Sequence[str] | Mapping[str, Any] | None = None,
        search: Search | Mapping[str, Any] | str | None = None,
        reuse: bool = True,
        code_version: str = "",
        search_containers: int | None = None,
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
        self.search_containers = checked_containers(search_containers)
        self.estimator = wrapped(estimator)
        self.source = own_copy(source)
        self.target = target
        self.model = model
        self.estimator_params = estimator_params
        self.primary_key = primary_key
        self.excluded_columns = excluded_columns
        self.sample_weight = sample_weight
        self.fit_params = fit_params
        self.class_weight = class_weight
        self.calibration = calibration
        self.threshold = threshold
        self.cross_validation = cross_validation
        self.validation = own_copy(validation)
        self.metrics_by = metrics_by
        self.out_of_sample = own_copy(out_of_sample)
        self.preprocessing = wrapped(preprocessing)
        self.preprocessing_params = preprocessing_params
        self.policies = policies
        self.persistence = persistence
        self.will_score = own_copy(will_score)
        self.search = search
        self.reuse = reuse
        self.code_version = code_version
        self.check_early()
        self.outlets = [*self.outlets, *static_outlets(model)]

    def check_arguments(self) -> None:
        """See ``SklearnOperator.check_arguments``."""
        scored = as_will_score(self.will_score)
        check_all(
            super().check_arguments,
            self._check_estimator,
            lambda: TrainSettings.check(self._asked()),
            lambda: check_location("model", self.model),
            lambda: check_source(self.source),
            lambda: check_flag("reuse", self.reuse),
            *([partial(check_held_out, self.validation.source)] if isinstance(self.validation, HeldOut) else []),
            *([partial(check_source, scored.source, "will_score")] if isinstance(scored, WillScore) else []),
            *([partial(check_destination, self.out_of_sample, "out_of_sample")] if self.out_of_sample else []),
        )

    def _check_estimator(self) -> None:
        estimator = held(self.estimator)
        check_estimator(estimator, self.estimator_params)
        check_target(self.target)
        check_estimator_of_each(estimator, self.target)
        check_can_be_stored(self.estimator)
        check_can_be_stored(self.preprocessing)
        if self.target is None and isinstance(estimator, str) and estimator in PRESET_NAMES:
            raise UserError(f"{estimator} predicts a target: name its column, target='churned'.")

    def _asked(self) -> dict[str, Any]:
        """The arguments that are settings of a training, by name."""
        asked = {name: getattr(self, CALLED.get(name, name)) for name in TrainSettings.model_fields}
        return {**asked, "preprocessing": held(self.preprocessing)}

    def work(self, context: Context) -> dict[str, Any]:
        """Train the model, unless its version exists. The class documents the result."""
        from airflow_sklearn.datasets.registry import as_source
        from airflow_sklearn.runs.train_job import make_train_job

        if (answer := self.answer_before_the_job(context)) is not None:
            return answer
        storage, runtime, identity = self.storage, self._bound_runtime, identity_of(context)
        if self.search_containers:
            folds, _ = folds_and_way(self._asked())
            check_spreads(held(self.estimator), self.search_containers, searched=bool(self.search), folds=folds)
        self._check_out_of_sample(context)
        resolved = as_source(self.source).resolve(self.attempt_in(context), self._wanted_columns())
        if (answer := self.answer_before_the_job(context, resolved)) is not None:
            return answer
        found = {"validation": self._held_out_found(context), "will_score": self._scored_table(context)}
        asked = {**self._asked(), **found}
        settings = TrainSettings.asked(asked).model_copy(update={"excluded_columns": resolved.excluded})
        job, job_uri = make_train_job(
            storage,
            settings=settings,
            identity=identity,
            attempt=f"{identity.try_number}-{secrets.token_hex(4)}",
            estimator=held(self.estimator),
            estimator_params=self.estimator_params or {},
            transformer=transformer if is_replacement(transformer := held(self.preprocessing)) else None,
            source=resolved.files,
            snapshot=resolved.snapshot,
            model=absolute_uri(self.model).rstrip("/"),
            software=self._patiently(self._software),
            image=runtime.image,
            deadline_seconds=self.deadline.total_seconds() if self.deadline else None,
            search=self._patiently(self._search_pool),
            trusted_types=package_settings.names("skops_trusted_types"),
            salt=[str(self.code_version or ""), *([] if self.reuse else self._who(context))],
        )
        self.store_link(context, ModelManifestLink, f"{job.model}/versions/{job.version}/manifest.json")
        size = sum(obj.size for obj in job.objects)
        self.log.info(
            "Version %s of %s: %s, %.1f MB.", job.version, job.model, counted(len(job.objects), "object"), size / 1e6
        )
        return self.run_job(context, job_uri, job)

    def _software(self) -> str:
        """Identifies the software that fits, with the modules of factories."""
        runtime = self._bound_runtime
        transformer = _module_of(self.preprocessing)
        of_transformer = runtime.software_fingerprint(transformer) if transformer else ""
        return runtime.software_fingerprint(_module_of(self.estimator)) + of_transformer

    def _search_pool(self) -> SearchPool | None:
        from airflow_sklearn.contract.jobs import SearchPool

        if not self.search_containers:
            return None
        described = self._bound_runtime.described_for_jobs()
        folder = f"{absolute_uri(self.model).rstrip('/')}/pools"
        return SearchPool(containers=self.search_containers, runtime=described, folder=folder)

    def _wanted_columns(self) -> WantedColumns:
        from airflow_sklearn.datasets.base import WantedColumns

        roles = {
            "target": list(column_names(self.target)),
            "primary_key": list(column_names(self.primary_key)),
            "sample_weight": list(column_names(self.sample_weight)),
            "fit_params": list((self.fit_params or {}).values()),
            "validation": list(column_names(getattr(self.validation, "column", None))),
            "metrics_by": list(column_names(self.metrics_by)),
            "will_score": list(column_names(getattr(self.will_score, "keep", None))),
        }
        return WantedColumns(roles, column_names(self.excluded_columns), with_others=True)

    def _held_out_found(self, context: Context) -> Asked | None:
        """The validation, with the objects of a held-out source."""
        from airflow_sklearn.datasets.held_out import find_held_out

        if not isinstance(self.validation, HeldOut):
            return self.validation
        return find_held_out(self.attempt_in(context), self.validation)

    def _scored_table(self, context: Context) -> ScoredTable | None:
        """The table that will be scored, as the job contains it."""
        from airflow_sklearn.datasets.will_score import find_scored_table

        asked = as_will_score(self.will_score)
        return find_scored_table(self.attempt_in(context), asked) if isinstance(asked, WillScore) else asked

    def _run_of(self, context: Context) -> str:
        """The name of the scores' rows if they are appended: this task in this DAG run, whatever it fits."""
        who = identity_of(context)
        return f"{who.dag_id}.{who.task_id}[{who.map_index}] {who.run_id}"

    def _check_out_of_sample(self, context: Context) -> None:
        """Check before fitting whether there will be out-of-sample scores, and whether they can be published.

        It is not checked in a retry, nor when a job is submitted again: the published scores may then be this task's
        own.
        """
        again = self._asked_since or identity_of(context).try_number != clears_of(context, self.retries)
        if not self.out_of_sample or again:
            return
        from airflow_sklearn.datasets.out_of_sample import check_out_of_sample
        from airflow_sklearn.datasets.registry import as_destination

        folds, _ = folds_and_way(self._asked())
        check_out_of_sample(self.attempt_in(context), as_destination(self.out_of_sample), folds)

    def publish(self, context: Context, manifest: ModelManifest, folder: str) -> None:
        """See ``ModelVersionOperator.publish``: the out-of-sample scores. If they were published before, they stay as
        they are.
        """
        if not self.out_of_sample:
            return
        from airflow_sklearn.datasets.out_of_sample import publish_out_of_sample
        from airflow_sklearn.datasets.registry import as_destination

        destination = as_destination(self.out_of_sample)
        attempt, run = self.attempt_in(context), self._run_of(context)
        uri = publish_out_of_sample(attempt, manifest, destination, run=run, folder=folder)
        rows = manifest.out_of_sample.rows if manifest.out_of_sample else 0
        self.log.info("Out-of-sample scores of %s rows are in %s.", f"{rows:,}", uri)


def _module_of(estimator: Any) -> str:
    """The module of a factory ``"package.module:callable"``; empty for anything else."""
    return estimator.partition(":")[0] if isinstance(estimator, str) and ":" in estimator else ""
