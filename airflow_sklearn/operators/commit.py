"""``SklearnCommitOperator``: proves that a run is complete, then publishes it in one step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_sklearn.airflow_compat import conf
from airflow_sklearn.contract.arguments import check_all, check_flag, is_known
from airflow_sklearn.contract.faults import counted, shown
from airflow_sklearn.contract.shown import told
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.operators.links import PublishedDataLink, RunLedgerLink, RunPageLink
from airflow_sklearn.operators.statements import StatementsOperator
from airflow_sklearn.operators.summary import problem_lines

if TYPE_CHECKING:
    from airflow_sklearn.airflow_compat import Context
    from airflow_sklearn.contract.plan import Plan
    from airflow_sklearn.contract.proof import Proof
    from airflow_sklearn.contract.receipt import Receipt

_FILES_SHOWN = 5


class SklearnCommitOperator(StatementsOperator):
    """Publish a run's predictions into a folder or a table, all or none, if its receipts cover its source exactly.

    The ledger decides, not Airflow's task states: a chunk that was marked successful without a receipt makes it fail.

    Returns ``{"destination", "partition", "uri", "rows", "rows_quarantined", "quarantine", "chunks", "seconds",
    "proof", "model", "published", "problems"}``. ``seconds`` are summed over chunks. ``published`` is False if the same
    rows had been published before. ``quarantine`` lists the files of rows that were set aside. ``problems`` are the
    most frequent ones, merged over files; the proof has all. Emits an asset event for the destination's URI.

    The destination stores which run has published. A run that was planned before that one fails here, and so does one
    of another task of the same DAG run. Replaced rows are logged.

    :param plan: the result of ``SklearnPlanOperator``, one element of it, or the plan's URI. (templated)
    :param replace_newer: let an older run replace the rows of a newer one.
    :param aws_conn_id: the Airflow connection for S3.
    :param deferrable: wait in the triggerer for statements of the Redshift Data API.
    """

    template_fields: Sequence[str] = ("plan", "aws_conn_id")
    operator_extra_links = (RunPageLink(), PublishedDataLink(), RunLedgerLink())
    ui_color = "#e6d9f7"

    def __init__(
        self,
        *,
        plan: str | Mapping[str, str] | Sequence[Mapping[str, str]],
        replace_newer: bool = False,
        aws_conn_id: str | None = "aws_default",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(aws_conn_id=aws_conn_id, **kwargs)
        self.plan = plan
        self.replace_newer = replace_newer
        self.deferrable = deferrable
        self.check_early()

    def check_arguments(self) -> None:
        """See ``SklearnOperator.check_arguments``."""
        check_all(
            super().check_arguments,
            self._check_plan,
            lambda: check_flag("replace_newer", self.replace_newer),
            lambda: check_flag("deferrable", self.deferrable),
        )

    def _check_plan(self) -> None:
        if is_known(self.plan) and (isinstance(self.plan, bytes) or not isinstance(self.plan, Iterable)):
            raise UserError(f"plan={shown(self.plan)}: give what SklearnPlanOperator returns (its .output).")

    def work(self, context: Context) -> dict[str, Any]:
        """Verify the run, and publish it. The class documents the result."""
        from airflow_sklearn.exceptions import StatementRunningError
        from airflow_sklearn.report.stored_runs import page_uri, store_page
        from airflow_sklearn.runs.ledger import Ledger, read_plan

        storage, uri = self.storage, plan_uri(self.plan)
        plan = read_plan(storage, uri)
        self.store_link(context, RunLedgerLink, f"{plan.ledger}/")
        self.store_link(context, RunPageLink, page_uri(plan.ledger))
        receipts = Ledger(storage, plan.ledger).read_receipts(plan)
        try:
            proof, answer = self._publish(context, plan, receipts)
        except StatementRunningError:
            raise
        except Exception as error:
            store_page(storage, uri, plan=plan, receipts=receipts, failure=told(error))
            raise
        store_page(storage, uri, plan=plan, receipts=receipts, proof=proof)
        return answer

    def _publish(self, context: Context, plan: Plan, receipts: Mapping[str, Receipt]) -> tuple[Proof, dict[str, Any]]:
        from airflow_sklearn.datasets.publishing import publish_run
        from airflow_sklearn.datasets.registry import destination_of
        from airflow_sklearn.runs.verify import verify

        destination = destination_of(plan.destination)
        place = destination.place(plan.partition)
        self.store_link(context, PublishedDataLink, place)
        proof = verify(self.storage, plan, plan_uri(self.plan), receipts)
        problems = problem_lines(proof.problems)
        for line in problems:
            self.log.warning("%s", line)
        set_aside = [part.uri for part in proof.quarantine]
        if set_aside:
            shown = ", ".join(set_aside[:_FILES_SHOWN])
            self.log.warning(
                "%s rows are not predicted but set aside, with the reason of each, in %d files: %s%s",
                f"{proof.rows_quarantined:,}",
                len(set_aside),
                shown,
                ", ..." if len(set_aside) > _FILES_SHOWN else "",
            )
        done = publish_run(self.attempt_in(context), destination, plan, proof, replace_newer=self.replace_newer)
        for warning in done.warnings:
            self.log.warning("%s", warning)
        self.log.info(
            "%s %s of %s in %s (proof: %s).",
            "Published" if done.published else "Already published:",
            *(counted(done.rows, "row"), counted(proof.chunks, "chunk"), place, done.proof_uri),
        )
        answer = {
            "destination": plan.destination.uri,
            "partition": plan.partition,
            "uri": place,
            "rows": done.rows,
            "rows_quarantined": proof.rows_quarantined,
            "quarantine": set_aside,
            "chunks": proof.chunks,
            "seconds": proof.seconds_in_chunks,
            "proof": done.proof_uri,
            "model": proof.model_manifest_uri,
            "published": done.published,
            "problems": problems,
        }
        self.announce(context, plan.destination.uri, answer)
        return proof, answer


def plan_uri(plan: str | Mapping[str, str] | Sequence[Mapping[str, str]]) -> str:
    """The URI of the one plan in an argument.

    :raises UserError: there is none, or there are several.
    """
    if isinstance(plan, str):
        return plan
    uris = {chunk["plan"] for chunk in ([plan] if isinstance(plan, Mapping) else plan)}
    if len(uris) != 1:
        raise UserError(f"A commit takes one plan; this is {len(uris)} of them: {sorted(uris)[:3]}.")
    return uris.pop()
