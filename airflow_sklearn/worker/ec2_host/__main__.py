"""``python -m airflow_sklearn.worker.host POOL_URI QUEUE``: the command of an EC2 instance, in the worker image."""

from __future__ import annotations

import argparse
import logging
import sys

from airflow_sklearn.runtimes.ec2.job_queue import JobQueue
from airflow_sklearn.storage import Storage
from airflow_sklearn.worker.ec2_host.serve import serve, signals


def main(arguments: list[str] | None = None) -> int:
    """Do the jobs of an instance's job queue.

    :param arguments: the command line's arguments; None: those of this process.
    :return: the exit code.
    """
    parser = argparse.ArgumentParser(
        prog="python -m airflow_sklearn.worker.host",
        description="Do the jobs of one job queue, one after another, until there are no more.",
    )
    parser.add_argument("pool", metavar="POOL_URI", help="the folder of the pool")
    parser.add_argument("number", metavar="QUEUE", help="the job queue in it")
    parser.add_argument("--places", type=int, default=1, help="jobs that the job queue takes (default: %(default)s)")
    parser.add_argument(
        "--idle-timeout", type=float, default=60.0, metavar="SECONDS", help="to wait for one more job (%(default)s)"
    )
    parser.add_argument("--sha256", default="", metavar="DIGEST", help="of the one job that is to be done")
    parser.add_argument("--plan", default="", metavar="PLAN_URI", help="whose chunks the jobs must be")
    parser.add_argument("--log-group", default="", help="in CloudWatch; without it logs stay on the instance")
    parser.add_argument("--log-region", default=None, help="default: the instance's")
    options = parser.parse_args(arguments)
    logging.basicConfig(
        stream=sys.stdout,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S",
    )
    logging.getLogger("botocore").setLevel(logging.WARNING)
    queue = JobQueue(Storage(), options.pool, options.number, options.places)
    log = {"log_group": options.log_group, "log_region": options.log_region}
    given = (("--sha256", options.sha256), ("--plan", options.plan))
    pins = [text for option, pin in given if pin for text in (option, pin)]
    with signals() as stop:
        serve(queue, stop, idle_timeout=options.idle_timeout, pins=pins, **log)
    return 0


if __name__ == "__main__":
    sys.exit(main())
