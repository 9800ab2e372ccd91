"""``python -m airflow_sklearn.worker JOB_URI``: do one job, in a container or a subprocess."""

from __future__ import annotations

import argparse
import logging
import sys

from airflow_sklearn.worker import exit_codes
from airflow_sklearn.worker.run import run_job


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_sklearn.worker",
        description="Do the train or predict job that a JSON document describes, and write its result document.",
        epilog=f"Exit codes: 0 succeeded, {exit_codes.USER_ERROR} user's error, {exit_codes.BAD_DATA} bad data, "
        f"{exit_codes.INTERNAL_ERROR} internal error, {exit_codes.BROKEN_ENVIRONMENT} broken environment, "
        f"{exit_codes.DEADLINE} past the deadline, {exit_codes.CANCELLED} cancelled.",
    )
    parser.add_argument("job_uri", metavar="JOB_URI", help="s3://bucket/key or file:///path of the job document")
    options = parser.parse_args(arguments)
    logging.basicConfig(
        stream=sys.stdout,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S",
    )
    return run_job(options.job_uri)


if __name__ == "__main__":
    sys.exit(main())
