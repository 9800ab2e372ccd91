"""``SklearnCommitOperator``: proves that a run is complete, then publishes it in one step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_sklearn.airflow_compat import conf
from airflow_sklearn.contract.arguments import check_flag
from airflow_sklearn.contract.data import OutputFiles
from airflow_sklearn.contract.faults import counted
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.operators.links import PublishedDataLink, RunLedgerLink
from airflow_sklearn.operators.statements import StatementsOperator, attempt_of, tag_of
from airflow_sklearn.operators.summary import problem_lines

if TYPE_CHECKING:
    from airflow_sklearn.airflow_compat import Context
    from airflow_sklearn.contract.plan import Plan
    from airflow_sklearn.contract.proof import Proof

_FILES_SHOWN = 5


class SklearnCommitOperator(StatementsOperator):
    """Publish a run's predictions into a folder or a table, all or nothing, once its receipts tile its source exactly.

    Trusts the ledger, never Airflow's task states: a chunk that was marked successful without a receipt stops it.
    Returns ``{"destination", "partition", "uri", "rows", "rows_quarantined", "quarantine", "chunks", "seconds",
    "proof", "model", "published", "problems"}``; ``seconds`` are summed over chunks, ``published`` is False when the
    very rows were there already; ``quarantine`` are the files of rows set aside; ``problems`` are the most frequent,
    merged over files: the proof has them all. Emits an asset event for the destination's URI.

    A partition, and a table that is replaced, remember which run published: a run that was planned before that one
    fails here, as does one of another task of the same DAG run. What is replaced is logged.

    :param plan: what ``SklearnPlanOperator`` returned, one element of it, or the plan's URI. (templated)
    :param replace_newer: let an older run replace the rows of a newer one.
    :param aws_conn_id: the Airflow connection for S3.
    :param deferrable: wait in the triggerer for statements of the Redshift Data API.
    """

    template_fields: Sequence[str] = ("plan", "aws_conn_id")
    operator_extra_links = (PublishedDataLink(), RunLedgerLink())
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
        super().check_arguments()
        check_flag("replace_newer", self.replace_newer)
        check_flag("deferrable", self.deferrable)

    def work(self, context: Context) -> dict[str, Any]:
        from airflow_sklearn.datasets.redshift.unload import delete_snapshot
        from airflow_sklearn.runs.ledger import read_plan
        from airflow_sklearn.runs.verify import verify

        storage, uri = self.storage, plan_uri(self.plan)
        plan = read_plan(storage, uri)
        place = _place(plan)
        self.store_link(context, RunLedgerLink, f"{plan.ledger}/")
        self.store_link(context, PublishedDataLink, place)
        proof = verify(storage, plan, uri)
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
        rows, published, proof_uri = self._publish(context, plan, proof)
        delete_snapshot(storage, plan.snapshot)
        self.log.info(
            "%s %s of %s in %s (proof: %s).",
            "Published" if published else "Already published:",
            *(counted(rows, "row"), counted(proof.chunks, "chunk"), place, proof_uri),
        )
        answer = {
            "destination": plan.destination.uri,
            "partition": plan.partition,
            "uri": place,
            "rows": rows,
            "rows_quarantined": proof.rows_quarantined,
            "quarantine": set_aside,
            "chunks": proof.chunks,
            "seconds": proof.seconds_in_chunks,
            "proof": proof_uri,
            "model": proof.model_manifest_uri,
            "published": published,
            "problems": problems,
        }
        self.announce(context, plan.destination.uri, answer)
        return answer

    def _publish(self, context: Context, plan: Plan, proof: Proof) -> tuple[int, bool, str]:
        """:return: rows, whether they were not there before, and the URI of the proof."""
        from airflow_sklearn.runs.verify import publish, write_proof

        if isinstance(plan.destination, OutputFiles):
            manifest, published = publish(self.storage, plan, proof, replace_newer=self.replace_newer)
            return manifest.rows, published, manifest.proof_uri
        from airflow_sklearn.datasets.redshift.publish import TableLoad, publish_table

        proof_uri = write_proof(self.storage, plan, proof)
        load = TableLoad(
            table=plan.destination,
            columns=plan.table_columns,
            key=tuple(column.name for column in plan.spec.primary_key),
            files=proof.files,
            rows=proof.rows_out,
            key_hash=proof.key_hash,
            fingerprint=proof.fingerprint,
            run=plan.partition,
            published_by=tag_of(context),
            attempt=attempt_of(context),
            planned=plan.planned,
            replace_newer=self.replace_newer,
        )
        done = publish_table(self.database(context, plan.destination.access), self.storage, load)
        for warning in done.warnings:
            self.log.warning("%s", warning)
        return done.rows, done.published, proof_uri


def _place(plan: Plan) -> str:
    """Where the rows are, for people and links."""
    if isinstance(plan.destination, OutputFiles):
        return f"{plan.destination.uri}/{plan.partition}/"
    return plan.destination.uri


def plan_uri(plan: str | Mapping[str, str] | Sequence[Mapping[str, str]]) -> str:
    """The URI of the one plan that is meant.

    :raises UserError: none, or several.
    """
    if isinstance(plan, str):
        return plan
    uris = {chunk["plan"] for chunk in ([plan] if isinstance(plan, Mapping) else plan)}
    if len(uris) != 1:
        raise UserError(f"A commit takes one plan; this is {len(uris)} of them: {sorted(uris)[:3]}.")
    return uris.pop()
