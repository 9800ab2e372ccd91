"""``SklearnPlanOperator``: makes the plan of a prediction run. It computes no predictions."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_sklearn import settings
from airflow_sklearn.airflow_compat import conf
from airflow_sklearn.contract.arguments import (
    AskedMethod,
    check_all,
    check_count,
    check_flag,
    check_prediction,
    column_names,
    is_known,
    merge_policies,
)
from airflow_sklearn.contract.faults import counted
from airflow_sklearn.contract.presets import UNEXPLAINED
from airflow_sklearn.contract.sizes import to_bytes
from airflow_sklearn.exceptions import PublicationRefusedError, UserError
from airflow_sklearn.operators.base import own_copy
from airflow_sklearn.operators.links import RunLedgerLink, RunPageLink
from airflow_sklearn.operators.places import check_destination, check_location, check_model, check_source
from airflow_sklearn.operators.statements import StatementsOperator
from airflow_sklearn.runtimes.registry import check_runtime
from airflow_sklearn.storage.uris import absolute_uri

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_sklearn.airflow_compat import Context
    from airflow_sklearn.datasets.places import Readable, Writable
    from airflow_sklearn.runtimes.base import Runtime


class SklearnPlanOperator(StatementsOperator):
    """Pin the model, list the source, and cut it into chunks, over which ``SklearnPredictOperator`` is mapped.

    A table or a query of Redshift is unloaded first, after its types were compared with the model's.

    Returns a list with ``{"plan", "id", "label"}`` for each chunk, at least one.

    :param model: a model's URI (its latest version is pinned), a manifest's URI, or the result of
        ``SklearnTrainOperator``. (templated)
    :param source: the rows to predict: a URI, several, a ``Dataset``, a ``RedshiftTable`` or a ``RedshiftQuery``.
        (templated)
    :param destination: where predictions go: a folder's URI, a ``Dataset``, or a ``RedshiftTable``. (templated)
    :param partition: for files, the folder below the destination that this run fills, and replaces when it runs again,
        such as ``date={{ ds }}``; default: the run's id. Two tasks of one DAG run need two partitions or two
        destinations, else the second commit fails. For a table, a name for the run's rows; default: made of the table's
        ``partition`` or ``where``, or the run's id if rows are appended. (templated, always to a text)
    :param method: ``auto`` (``predict_proba`` if the model has it, else ``predict``), ``predict``, ``predict_proba``,
        ``decision_function``, ``score_samples`` or ``transform``. (templated)
    :param outputs: the columns of predictions instead of all of the method, by their names or by words: ``"pred"``,
        ``"proba"``, ``"proba:yes"`` (of one class), ``"decision"``, ``"score"``, ``"transform"``; ``"percentile"`` and
        ``"decile"`` (from 1 to 100 or 10, relative to the out-of-sample scores of training; ``"decile:yes"``); and
        ``"label"``, the class at the threshold that training has tuned. (templated)
    :param targets: the target or targets to predict, of a model with several; default: all. (templated)
    :param explain: add the features that moved each row's score most, and their effects on it: so many pairs of columns
        ``{target}_reason_1`` and ``{target}_effect_1``. For linear models, trees, calibrated models and stacks.
    :param primary_key: the column or columns that identify a row here; an empty list: none. Default: those of training.
        (templated)
    :param passthrough: the column or columns of the source to copy into each row of predictions. (templated)
    :param chunk_size: the approximate size of source in a chunk: bytes, or a text such as ``"64MB"``. (templated)
    :param max_chunks: the largest number of chunks; chunks grow if there would be more. Never more than Airflow's
        ``[core] max_map_length``.
    :param policies: values that override the model's policies, by the names in ``Policies``. (templated)
    :param ledger: the folder for plans and receipts; None: ``_airflow_sklearn/`` below the destination. (templated)
    :param runtime: where the chunks will run. As far as its software is known here, it is compared with that of
        training before any container starts. None: only the workers compare. (templated)
    :param aws_conn_id: the Airflow connection for S3.
    :param deferrable: wait in the triggerer for statements of the Redshift Data API.
    """

    template_fields: Sequence[str] = (
        "model",
        "source",
        "destination",
        "partition",
        "method",
        "outputs",
        "targets",
        "primary_key",
        "passthrough",
        "chunk_size",
        "policies",
        "ledger",
        "runtime",
        "aws_conn_id",
    )
    text_fields = ("partition", "method", "ledger", "aws_conn_id")
    template_fields_renderers = {"policies": "json"}
    operator_extra_links = (RunPageLink(), RunLedgerLink())
    ui_color = "#d9e8f7"

    def __init__(
        self,
        *,
        model: str | Mapping[str, Any],
        source: Readable | str | Sequence[str] | Mapping[str, Any],
        destination: Writable | str | Mapping[str, Any],
        partition: str = "",
        method: AskedMethod | str = "auto",
        outputs: str | Sequence[str] = (),
        targets: str | Sequence[str] = (),
        explain: int = 0,
        primary_key: str | Sequence[str] | None = None,
        passthrough: str | Sequence[str] = (),
        chunk_size: float | str = "64MB",
        max_chunks: int = 256,
        policies: Mapping[str, str] | None = None,
        ledger: str | None = None,
        runtime: Runtime | None = None,
        aws_conn_id: str | None = "aws_default",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(aws_conn_id=aws_conn_id, **kwargs)
        self.model = model
        self.source = own_copy(source)
        self.destination = own_copy(destination)
        self.partition = partition
        self.method = method
        self.outputs = outputs
        self.targets = targets
        self.explain = explain
        self.primary_key = primary_key
        self.passthrough = passthrough
        self.chunk_size = chunk_size
        self.max_chunks = max_chunks
        self.policies = policies
        self.ledger = ledger
        self.runtime = own_copy(runtime)
        self.deferrable = deferrable
        self.check_early()

    def check_arguments(self) -> None:
        """See ``SklearnOperator.check_arguments``."""
        check_all(
            super().check_arguments,
            lambda: check_model(self.model),
            lambda: check_source(self.source),
            lambda: check_destination(self.destination),
            self._check_partition,
            lambda: check_prediction(vars(self)),
            self._check_explained,
            lambda: is_known(self.chunk_size) and to_bytes(self.chunk_size),
            lambda: check_count("max_chunks", self.max_chunks, 1),
            *([partial(check_location, "ledger", self.ledger)] if self.ledger else []),
            *([partial(check_runtime, self.runtime)] if self.runtime is not None else []),
            lambda: check_flag("deferrable", self.deferrable),
        )

    def _check_partition(self) -> None:
        if is_known(self.partition) and not isinstance(self.partition, str):
            raise UserError(f"partition={self.partition!r}: give a text, such as 'date={{{{ ds }}}}'.")

    def _check_explained(self) -> None:
        """Refuse ``explain`` of a preset that cannot be explained, where a task of the same DAG trains it."""
        preset = getattr(getattr(self.model, "operator", None), "estimator", None)
        if self.explain and preset in UNEXPLAINED:
            raise UserError(
                f"explain={self.explain}: single predictions of {preset!r} cannot be explained. Fix: leave explain "
                "out, or train another preset."
            )

    def work(self, context: Context) -> list[dict[str, str]]:
        """Plan the run, and store the plan. The class documents the result."""
        from airflow_sklearn.contract.planned import Planned
        from airflow_sklearn.datasets.planning import plan_prediction
        from airflow_sklearn.datasets.registry import as_destination, as_source
        from airflow_sklearn.report.stored_runs import page_uri, store_first_page

        attempt = self.attempt_in(context)
        who = attempt.identity
        planned = Planned.now(dag_id=who.dag_id, task_id=who.task_id, run_id=who.run_id, map_index=who.map_index)
        self._check_software()
        source, destination = as_source(self.source), as_destination(self.destination)
        plan, uri = plan_prediction(
            attempt,
            source,
            destination,
            model=absolute_uri(self.model) if isinstance(self.model, str) else self.model,
            partition=destination.partition(self.partition, who.run_id),
            method=self.method,
            outputs=column_names(self.outputs),
            targets=column_names(self.targets),
            explain=self.explain,
            primary_key=None if self.primary_key is None else column_names(self.primary_key),
            passthrough=column_names(self.passthrough),
            policies=self.policies,
            ledger=absolute_uri(self.ledger).rstrip("/") if self.ledger else None,
            chunk_size=to_bytes(self.chunk_size),
            finish={
                "max_chunks": min(self.max_chunks, settings.longest_mapping()),
                "trusted_types": settings.names("skops_trusted_types"),
                "planned": planned.model_copy(update={"by_default": not self.partition}),
            },
        )
        for fault in destination.replacement_faults(attempt, plan):
            raise PublicationRefusedError(fault)
        self.store_link(context, RunLedgerLink, f"{plan.ledger}/")
        store_first_page(self.storage, plan, uri)
        self.store_link(context, RunPageLink, page_uri(plan.ledger))
        size = sum(obj.size for obj in plan.objects)
        self.log.info(
            "Planned %s over %s (%.1f MB) with %s, method %s, into %s/%s.",
            *(
                counted(len(plan.chunks), "chunk"),
                counted(len(plan.objects), "object"),
                size / 1e6,
                plan.spec.model_manifest_uri,
                plan.spec.method,
            ),
            *(plan.destination.uri, plan.partition),
        )
        if warning := source.emptiness(plan):
            self.log.warning("%s", warning)
        return [{"plan": uri, "id": chunk.id, "label": chunk.label} for chunk in plan.chunks]

    def _check_software(self) -> None:
        """Compare the runtime's software with that of training, as far as it is known here.

        :raises BrokenEnvironmentError: versions differ, and the policy ``version_mismatch`` does not let them pass.
        """
        from airflow_sklearn.runs.model_store import resolve_model
        from airflow_sklearn.system.software import refuse_differences, version_differences

        if self.runtime is None:
            return
        model = absolute_uri(self.model) if isinstance(self.model, str) else self.model
        manifest, _, _ = resolve_model(self.storage, model)
        policies = merge_policies(self.policies, manifest.feature_schema.policies)
        runtime = self.runtime.bind(self.aws)
        differences = version_differences(manifest.versions, runtime.package_versions())
        for difference in refuse_differences(differences, policies.version_mismatch, repr(self.runtime)):
            self.log.warning("Other software than at training, let pass by policy: %s", difference)
        trained, here = manifest.versions.image, runtime.image
        if trained and here and here not in (trained, trained.partition("@")[0]):
            self.log.info("The model was made in the image %s, and is used in %s: workers compare.", trained, here)
