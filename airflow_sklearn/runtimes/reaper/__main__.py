"""``python -m airflow_sklearn.reaper``: end what was left running, from a machine that has Airflow's database."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from datetime import timedelta

from airflow_sklearn.airflow_compat import states_in_database
from airflow_sklearn.aws.connection import AwsConnection
from airflow_sklearn.runtimes.reaper.reap import end_left_behind, find_hosts, judge

_DESCRIPTION = """
End EC2 instances and ECS tasks that airflow-sklearn started for Airflow tasks that have ended since. Run it where
Airflow's database is configured (beside the scheduler). Those of runs that this Airflow does not know are left alone.
"""


def main(arguments: list[str] | None = None) -> int:
    """:return: 0, or 1 if something could not be ended."""
    options = _parser().parse_args(arguments)
    if not (options.ec2 or options.cluster):
        _parser().error("nothing to look at: give --ec2, --cluster NAME, or both")
    logging.basicConfig(stream=sys.stdout, level=logging.WARNING, format="%(message)s")
    logging.getLogger("airflow_sklearn.runtimes.reaper").setLevel(logging.INFO)
    # As Airflow 3's own commands do that read connections from the database.
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    hosts = find_hosts(
        AwsConnection(options.aws_conn_id),
        clusters=options.cluster,
        ec2=options.ec2,
        region_name=options.region,
        tags=dict(options.tag),
    )
    judged = judge(hosts, states_in_database, timedelta(minutes=options.grace))
    ended, failed = end_left_behind(judged, dry_run=options.dry_run)
    done = "would be ended" if options.dry_run else "ended"
    print(f"{len(judged)} found, {len(ended)} {done}" + (f", {len(failed)} could not be ended" if failed else ""))
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m airflow_sklearn.reaper", description=_DESCRIPTION)
    parser.add_argument("--ec2", action="store_true", help="instances of Ec2Runtime")
    parser.add_argument(
        "--cluster", action="append", default=[], metavar="NAME", help="tasks of EcsRuntime; repeatable"
    )
    parser.add_argument(
        "--tag",
        action="append",
        default=[],
        type=_tag,
        metavar="KEY=VALUE",
        help="only what has this tag, which runtimes give by tags=; repeatable. Where several Airflows share an "
        "account, each needs one: DAGs and runs of equal names cannot be told apart",
    )
    parser.add_argument(
        "--grace", type=float, default=10, metavar="MINUTES", help="age at least (default: %(default)s)"
    )
    parser.add_argument("--region", help="default: the connection's")
    parser.add_argument("--aws-conn-id", default="aws_default", help="Airflow's connection (default: %(default)s)")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be ended")
    return parser


def _tag(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is no KEY=VALUE")
    return key, value


if __name__ == "__main__":
    sys.exit(main())
