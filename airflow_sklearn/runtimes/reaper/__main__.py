"""``python -m airflow_sklearn.reaper``: ends left-behind hosts, on a machine with access to Airflow's database."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_sklearn.airflow_compat import states_in_database
from airflow_sklearn.aws.connection import AwsConnection
from airflow_sklearn.runtimes import registry
from airflow_sklearn.runtimes.reaper.reap import end_left_behind, find_hosts, judge

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_sklearn.runtimes.base import LeftoverOption
    from airflow_sklearn.runtimes.reaper.reap import Judged

_DESCRIPTION = """
End instances and containers that airflow-sklearn started for Airflow tasks that have ended since. Run it where
Airflow's database is configured (beside the scheduler). Those of runs that this Airflow does not know are left alone.
"""


def main(arguments: list[str] | None = None, *, prog: str = "python -m airflow_sklearn.reaper") -> int:
    """Find and end left-behind hosts.

    :param arguments: the command line's arguments; None: those of this process.
    :param prog: the command's name, for its help.
    :return: the exit code: 0, or 1 if a host could not be ended.
    """
    places = {name: runtime.leftovers for name, runtime in registry.load_all() if runtime.leftovers}
    parser = _parser(places, prog)
    options = parser.parse_args(arguments)
    where = {name: _where(getattr(options, name)) for name in places}
    if not any(where.values()):
        flags = " or ".join(f"{one.flag} {one.metavar or ''}".rstrip() for one in places.values())
        parser.error(f"nothing to look at: give {flags}")
    # The standard output is the JSON document's alone; Airflow's log goes there too.
    with contextlib.redirect_stdout(sys.stderr) if options.json else contextlib.nullcontext():
        judged, ended, failed = _reap(options, where)
    if options.json:
        counts = {"found": len(judged), "ended": ended, "failed": failed, "dry_run": options.dry_run}
        print(json.dumps(counts, indent=2))
        return 1 if failed else 0
    done = "would be ended" if options.dry_run else "ended"
    print(f"{len(judged)} found, {len(ended)} {done}" + (f", {len(failed)} could not be ended" if failed else ""))
    return 1 if failed else 0


def _reap(options: argparse.Namespace, where: Mapping[str, list[str]]) -> tuple[list[Judged], list[str], list[str]]:
    """Find, judge and end hosts.

    :return: all hosts, and the names of those that were ended, and that could not be.
    """
    logging.basicConfig(stream=sys.stdout, level=logging.WARNING, format="%(message)s")
    logging.getLogger("airflow_sklearn.runtimes.reaper").setLevel(logging.INFO)
    # Airflow 3's own commands that read connections from the database do the same.
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    aws, tags = AwsConnection(options.aws_conn_id), dict(options.tag)
    hosts = find_hosts(aws, where, region_name=options.region, tags=tags)
    judged = judge(hosts, states_in_database, timedelta(minutes=options.grace))
    return judged, *end_left_behind(judged, dry_run=options.dry_run)


def _where(given: bool | list[str]) -> list[str]:
    """The places to look for a runtime's hosts, from the value of its option."""
    return given if isinstance(given, list) else [""] * given


def _parser(places: Mapping[str, LeftoverOption], prog: str) -> argparse.ArgumentParser:
    """The command line's parser.

    :param places: the options that say where to look for hosts, by the runtime's name.
    """
    parser = argparse.ArgumentParser(prog=prog, description=_DESCRIPTION)
    for name, one in places.items():
        how: dict[str, Any] = {"action": "append", "default": [], "metavar": one.metavar}
        parser.add_argument(one.flag, dest=name, help=one.help, **(how if one.metavar else {"action": "store_true"}))
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
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of text")
    return parser


def _tag(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is no KEY=VALUE")
    return key, value


if __name__ == "__main__":
    sys.exit(main())
