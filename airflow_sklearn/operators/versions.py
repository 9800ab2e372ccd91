"""The common part of operators that make a version of a model: training and registration."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from airflow_sklearn.exceptions import DocumentError, StorageError
from airflow_sklearn.operators.base import clears_of, identity_of
from airflow_sklearn.operators.jobs import RuntimeOperator
from airflow_sklearn.operators.links import JobLink, JobLogLink, ModelManifestLink, ModelPageLink
from airflow_sklearn.operators.statements import StatementsOperator
from airflow_sklearn.storage.uris import absolute_uri, join, parent

if TYPE_CHECKING:
    from airflow_sklearn.airflow_compat import Context
    from airflow_sklearn.contract.jobs import JobResult, VersionJob
    from airflow_sklearn.contract.model import ModelManifest
    from airflow_sklearn.datasets.base import Resolved


class ModelVersionOperator(StatementsOperator, RuntimeOperator):
    """Makes one version of the model at the URI ``model`` from the rows of ``source``, unless the version exists.

    A subclass makes the job in ``work``. The result names the version: ``{"model", "version", "manifest_uri",
    "manifest_sha256", "metrics", "rows", "reused"}``.
    """

    operator_extra_links = (ModelPageLink(), ModelManifestLink(), JobLink(), JobLogLink())
    ui_color = "#f7d9b8"

    model: str
    source: Any

    def done_before(self, context: Context, job: VersionJob) -> dict[str, Any] | None:
        """See ``RuntimeOperator.done_before``: the model's version exists."""
        from airflow_sklearn.runs.model_store import make_latest

        found = make_latest(self.storage, job.model, job.version)
        if found is None:
            return None
        self.log.info("This version exists, made from the same bytes with the same settings: nothing is done again.")
        return self._answer(context, found[0], reused=True)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """See ``RuntimeOperator.execute_complete``."""
        with self.waiting_for_statements(context):
            return super().execute_complete(context, event)

    def finish(self, context: Context, result: JobResult) -> dict[str, Any]:
        """See ``RuntimeOperator.finish``."""
        self._check_is_own(result.output_uri)
        return self._answer(context, result.output_uri, reused=False)

    def answer_before_the_job(self, context: Context, resolved: Resolved | None = None) -> dict[str, Any] | None:
        """The task's result if this attempt, or an earlier one, has made the version already; else None.

        :param resolved: the resolved source; None: it is not resolved yet.
        """
        if "manifest_uri" in self.state:  # the version is made; the task returns from the triggerer
            return self._answer(context, **self.state)
        if resolved is None or not resolved.served:
            return None
        self._check_is_own(resolved.served)
        self.log.info("An earlier attempt has made the model already, and removed what it had unloaded.")
        return self._answer(context, resolved.served, reused=False)

    def publish(self, context: Context, manifest: ModelManifest, folder: str) -> None:
        """Publish what belongs to the version.

        :param folder: the folder of the version.
        """

    def _who(self, context: Context) -> list[str | int]:
        """Identifies this task instance since it was last cleared: the same for all attempts that follow by retries."""
        who = identity_of(context)
        return [who.dag_id, who.task_id, who.run_id, who.map_index, clears_of(context, self.retries)]

    def _check_is_own(self, manifest_uri: str) -> None:
        """Check that a manifest belongs to this model.

        Containers write the document that names the manifest, and this task reads, publishes and deletes with Airflow's
        permissions.

        :raises DocumentError: it belongs to another model.
        """
        from airflow_sklearn.runs.model_store import is_manifest_of

        model = absolute_uri(self.model).rstrip("/")
        if not is_manifest_of(model, manifest_uri):
            raise DocumentError(
                f"{manifest_uri} is no version of the model {model} that this task makes: the document that names it "
                "is not what the worker wrote. Fix: find out who can write there, then clear the task."
            )

    def _page_beside(self, manifest_uri: str) -> str:
        """The URI of the version's page; empty: it has none, as versions that were made before there were pages."""
        page = join(parent(manifest_uri), "report.html")
        try:
            return page if self.storage.exists(page) else ""
        except StorageError as error:
            self.log.warning("There is no link to the model's page: %s", error)
            return ""

    def _answer(self, context: Context, manifest_uri: str, *, reused: bool) -> dict[str, Any]:
        from airflow_sklearn.contract.model import ModelManifest
        from airflow_sklearn.datasets.registry import as_source

        data = self.storage.read(manifest_uri)
        manifest = ModelManifest.from_json(data, where=manifest_uri)
        self.state.update(manifest_uri=manifest_uri, reused=reused)
        model = absolute_uri(self.model).rstrip("/")  # not taken from the manifest, which containers write
        self.publish(context, manifest, parent(manifest_uri))
        self.store_link(context, ModelPageLink, self._page_beside(manifest_uri))
        if not self.job_log_was_shown:
            self._tell(manifest)
        answer = {
            "model": model,
            "version": manifest.version,
            "manifest_uri": manifest_uri,
            "manifest_sha256": hashlib.sha256(data).hexdigest(),
            "metrics": dict(manifest.metrics),
            "rows": manifest.source.rows_used,
            "reused": reused,
        }
        self.announce(context, model, answer)
        as_source(self.source).discard(self.attempt_in(context), manifest.source.snapshot, served=manifest_uri)
        return answer

    def _tell(self, manifest: ModelManifest) -> None:
        """Log what the version is."""
        metrics = [f"{name} {value:.4g}" for name, value in manifest.metrics.items() if value is not None]
        self.log.info(
            "Model %s, version %s, %s %s rows: %s.",
            *(manifest.model, manifest.version),
            "checked on" if manifest.estimator.kind == "registered" else "fitted on",
            *(f"{manifest.source.rows_used:,}", ", ".join(metrics) or "no metrics"),
        )
