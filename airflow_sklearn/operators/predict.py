"""``SklearnPredictOperator``: predicts one chunk of a plan."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_sklearn.airflow_compat import conf
from airflow_sklearn.contract.arguments import check_all, is_known
from airflow_sklearn.contract.faults import shown
from airflow_sklearn.exceptions import JobLostError, UserError
from airflow_sklearn.operators.base import identity_of
from airflow_sklearn.operators.jobs import DEFAULT_DEADLINE, RuntimeOperator
from airflow_sklearn.operators.links import JobLink, JobLogLink, RunLedgerLink, RunPageLink
from airflow_sklearn.operators.summary import problem_lines

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from airflow_sklearn.airflow_compat import Context
    from airflow_sklearn.contract.jobs import JobResult, PredictJob
    from airflow_sklearn.contract.plan import PlannedChunk
    from airflow_sklearn.contract.receipt import Receipt
    from airflow_sklearn.runs.ledger import Ledger
    from airflow_sklearn.runtimes.base import JobHandle, Runtime
    from airflow_sklearn.runtimes.outcome import JobEnd

#: A ``map_index_template`` that names mapped tasks by their chunks, the default of ``SklearnPredictOperator.partial``.
CHUNK_LABEL = "{{ task.chunk['label'] }}"


class SklearnPredictOperator(RuntimeOperator):
    """Predict one chunk of a plan, unless it has a receipt.

    The operator is meant to be mapped:
    ``SklearnPredictOperator.partial(task_id="predict", runtime=...).expand(chunk=plan.output)``.
    Returns ``{"chunk", "label", "rows", "rows_quarantined", "seconds", "receipt", "reused"}``.

    :param chunk: one element of the result of ``SklearnPlanOperator``. (templated)
    :param runtime: where the job runs. (templated)
    :param aws_conn_id: the Airflow connection for S3 and for the runtime.
    :param deferrable: wait in the triggerer, without a worker slot.
    :param poll_interval: seconds between two polls of the job; None: the runtime's.
    :param deadline: the longest time for the job, after which it ends itself, even if Airflow is gone; None: no limit.
    """

    template_fields: Sequence[str] = ("chunk", "runtime", "aws_conn_id")
    template_fields_renderers = {"chunk": "json"}
    operator_extra_links = (RunPageLink(), RunLedgerLink(), JobLink(), JobLogLink())
    ui_color = "#d9f7dd"

    def __init__(
        self,
        *,
        chunk: Mapping[str, str],
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
        self.chunk = chunk
        self.check_early()

    def check_arguments(self) -> None:
        """See ``SklearnOperator.check_arguments``."""
        check_all(super().check_arguments, self._check_chunk)

    def _check_chunk(self) -> None:
        if is_known(self.chunk) and not isinstance(self.chunk, Mapping):
            raise UserError(f"chunk={shown(self.chunk)}: give an element of what SklearnPlanOperator returns.")

    def work(self, context: Context) -> dict[str, Any]:
        """Predict the chunk. The class documents the result."""
        from airflow_sklearn.contract.jobs import PredictJob
        from airflow_sklearn.report.stored_runs import page_uri
        from airflow_sklearn.runs.ledger import Ledger

        if context.get("map_index_template") is None:
            context["map_index_template"] = CHUNK_LABEL
        planned = self._planned()
        ledger, chunk = Ledger(self.storage, planned.ledger), planned.chunk
        self.store_link(context, RunLedgerLink, f"{planned.ledger}/")
        self.store_link(context, RunPageLink, page_uri(planned.ledger))
        identity = identity_of(context)
        attempt = f"{identity.try_number}-{secrets.token_hex(4)}"
        job = PredictJob(
            identity=identity,
            result_uri=ledger.result_uri(chunk.id, attempt),
            deadline_seconds=self.deadline.total_seconds() if self.deadline else None,
            spec=planned.spec,
            fingerprint=planned.fingerprint,
            ledger=planned.ledger,
            chunk=chunk,
            plan=self.chunk["plan"],
        )
        return self.run_job(context, ledger.job_uri(chunk.id, attempt), job)

    def done_before(self, context: Context, job: PredictJob) -> dict[str, Any] | None:
        """See ``RuntimeOperator.done_before``: the chunk's receipt exists."""
        from airflow_sklearn.runs.ledger import Ledger

        ledger = Ledger(self.storage, job.ledger)
        receipt = ledger.read_receipt(job.chunk.id, job.fingerprint)
        if receipt is None:
            return None
        done_by = receipt.job or "an earlier run"
        self.log.info("%s is predicted already (%s): nothing is computed.", job.chunk.label, done_by)
        return self._answer(ledger, receipt, reused=True)

    def finish(self, context: Context, result: JobResult) -> dict[str, Any]:
        """See ``RuntimeOperator.finish``."""
        from airflow_sklearn.runs.ledger import Ledger

        planned = self._planned()
        ledger = Ledger(self.storage, planned.ledger)
        receipt = ledger.read_receipt(planned.chunk.id, planned.fingerprint)
        if receipt is None:
            raise JobLostError(
                f"The job succeeded, but the ledger {planned.ledger} has no valid receipt for {planned.chunk.label}."
            )
        return self._answer(ledger, receipt, reused=False)

    def record_end(self, context: Context, job_uri: str, end: JobEnd, handle: JobHandle | None = None) -> None:
        """See ``RuntimeOperator.record_end``. A worker that could tell its end itself has the first word."""
        from airflow_sklearn.contract.attempt import AttemptEnd
        from airflow_sklearn.report.stored_runs import store_page_of_failure
        from airflow_sklearn.runs.attempts import now, record

        ledger, _, file_name = job_uri.rpartition("/jobs/")
        name = file_name.removesuffix(".json")
        told = AttemptEnd(
            chunk_id=name.partition("-")[0],
            ended_at=now(),
            cause=end.cause,
            message=end.message,
            told_by="airflow",
            seconds=end.seconds,
            job=identity_of(context).path,
            job_url=self._bound_runtime.job_url(handle) if handle else "",
            log_url=self._bound_runtime.log_url(handle) if handle else "",
        )
        record(self.storage, ledger, name, told)
        store_page_of_failure(self.storage, self.chunk["plan"], ledger)

    def _planned(self) -> PlannedChunk:
        from airflow_sklearn.runs.ledger import read_chunk

        try:
            uri, chunk_id = self.chunk["plan"], self.chunk["id"]
        except (KeyError, TypeError):
            raise UserError(
                f"chunk needs 'plan' and 'id', as SklearnPlanOperator returns; this one is {self.chunk!r}."
            ) from None
        planned = read_chunk(self.storage, uri, chunk_id)
        if planned is None:
            raise UserError(f"The plan {uri} has no chunk {chunk_id}. Clear the plan task, so that it is made anew.")
        return planned

    def _answer(self, ledger: Ledger, receipt: Receipt, *, reused: bool) -> dict[str, Any]:
        for line in problem_lines(receipt.problems) if not self.job_log_was_shown else ():
            self.log.warning("%s", line)
        if not (reused or self.job_log_was_shown):
            rows, seconds = f"{receipt.rows_out:,}", receipt.timings.wall
            self.log.info("Predicted %s rows in %.1f s, loading the model included.", rows, seconds)
        return {
            "chunk": receipt.chunk_id,
            "label": self.chunk.get("label", ""),
            "rows": receipt.rows_out,
            "rows_quarantined": receipt.rows_quarantined,
            "seconds": receipt.timings.wall,
            "receipt": ledger.receipt_uri(receipt.chunk_id),
            "reused": reused,
        }
