"""``SklearnReapOperator``: ends hosts that were left behind."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_sklearn.airflow_compat import AirflowException
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.operators.base import SklearnOperator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_sklearn.airflow_compat import Context

_GRACE = timedelta(minutes=10)


class SklearnReapOperator(SklearnOperator):
    """End instances and containers of Airflow tasks that have ended.

    Normally they end themselves: with their work, when their task is killed, and at their deadline. This operator is
    for the exceptions: a triggerer that was down when a task was cleared, or a job without a deadline. Hosts of runs
    that this Airflow does not know are left alone. Returns the names of the ended hosts.

    :param ec2: whether to look for instances of ``Ec2Runtime``.
    :param clusters: ECS clusters in which to look for tasks of ``EcsRuntime``. (templated)
    :param runtimes: other registered runtimes by name, each with the places to look for its hosts. (templated)
    :param tags: only end hosts with these tags, which runtimes set by ``tags=``. If several Airflows share an AWS
        account, each needs its own tag: DAGs and runs with equal names cannot be distinguished. (templated)
    :param grace: younger hosts are left alone.
    :param region_name: the region; None: the connection's. (templated)
    :param report_only: only log which hosts would be ended. (templated)
    :param aws_conn_id: the Airflow connection to AWS.
    """

    template_fields: Sequence[str] = ("clusters", "runtimes", "tags", "region_name", "report_only", "aws_conn_id")
    ui_color = "#eeeeee"

    def __init__(
        self,
        *,
        ec2: bool = True,
        clusters: Sequence[str] = (),
        runtimes: Mapping[str, Sequence[str]] | None = None,
        tags: Mapping[str, str] | None = None,
        grace: timedelta = _GRACE,
        region_name: str | None = None,
        report_only: bool | str = False,
        aws_conn_id: str | None = "aws_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(aws_conn_id=aws_conn_id, **kwargs)
        self.ec2 = ec2
        self.clusters = clusters
        self.runtimes = runtimes
        self.tags = tags
        self.grace = grace
        self.region_name = region_name
        self.report_only = report_only

    def work(self, context: Context) -> list[str]:
        """Find and end hosts that are left behind. The class documents the result."""
        from airflow_sklearn.airflow_compat import states_of_task
        from airflow_sklearn.runtimes.reaper.reap import end_left_behind, find_hosts, judge

        if isinstance(self.clusters, str):
            raise UserError(f"SklearnReapOperator(clusters={self.clusters!r}): it is a list of clusters.")
        where = {"ec2": [""] if self.ec2 else [], "ecs": self.clusters, **(self.runtimes or {})}
        if not any(where.values()):
            raise UserError("SklearnReapOperator has nothing to look at: say ec2=True, clusters=[...], or both.")
        hosts = find_hosts(self.aws, where, region_name=self.region_name, tags=self.tags or {})
        judged = judge(hosts, states_of_task, self.grace)
        dry_run = self._is_dry_run()
        ended, failed = end_left_behind(judged, dry_run=dry_run)
        self.log.info("%d found, %d %s.", len(judged), len(ended), "would be ended" if dry_run else "ended")
        if failed:
            raise AirflowException(f"{len(failed)} could not be ended: {', '.join(failed)}")
        return ended

    def _is_dry_run(self) -> bool:
        """Whether to only report. A rendered template gives text, which is parsed."""
        said = str(self.report_only).strip().lower()
        if said not in ("true", "false"):
            raise UserError(f"SklearnReapOperator(report_only={self.report_only!r}): it is True or False.")
        return said == "true"
