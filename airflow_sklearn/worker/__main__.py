"""``python -m airflow_sklearn.worker JOB_URI --sha256 DIGEST``: does one job, in a container or a subprocess."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from airflow_sklearn.contract import exit_codes


def _end_at_once(number: int, _: Any) -> None:
    """The signal handler while no job is running: there is nothing to undo, and no result to write."""
    line = f"{time.strftime('%Y-%m-%d %H:%M:%S')} INFO {exit_codes.last_line(exit_codes.CANCELLED)}\n"
    os.write(1, line.encode())
    os._exit(exit_codes.CANCELLED)


# Before the slow imports: a container's first process ignores signals without a handler.
if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end_at_once)

import argparse  # noqa: E402
import gc  # noqa: E402
import logging  # noqa: E402
import re  # noqa: E402
import sys  # noqa: E402

_LOG = logging.getLogger("airflow_sklearn.worker")


def main(arguments: list[str] | None = None) -> int:
    """Do one job.

    :param arguments: the command line's arguments; None: those of this process.
    :return: the exit code, see ``airflow_sklearn.contract.exit_codes``.
    """
    parser = argparse.ArgumentParser(
        prog="python -m airflow_sklearn.worker",
        description="Do the train or predict job that a JSON document describes, and write its result document.",
        epilog=f"Exit codes: 0 succeeded, {exit_codes.USER_ERROR} user's error, {exit_codes.BAD_DATA} bad data, "
        f"{exit_codes.INTERNAL_ERROR} internal error, {exit_codes.OUT_OF_MEMORY} out of memory, "
        f"{exit_codes.BROKEN_ENVIRONMENT} broken environment, {exit_codes.DEADLINE} past the deadline, "
        f"{exit_codes.CANCELLED} cancelled.",
    )
    parser.add_argument("job_uri", metavar="JOB_URI", help="s3://bucket/key or file:///path of the job document")
    parser.add_argument(
        "--sha256",
        metavar="DIGEST",
        type=_digest,
        help="of the job document: one that has another is not read (default: nothing pins the job)",
    )
    parser.add_argument(
        "--plan",
        default="",
        metavar="PLAN_URI",
        help="do the job only if it is a chunk of this plan: for instances that do several jobs",
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(
        stream=sys.stdout,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S",
    )
    logging.getLogger("botocore").setLevel(logging.WARNING)  # it logs the origin of its settings for each client
    code = _run(options.job_uri, digest=options.sha256 or "", plan=options.plan)
    _LOG.info("%s", exit_codes.last_line(code))
    return code


def _digest(text: str) -> str:
    if not re.fullmatch("[0-9a-f]{64}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no SHA-256 in 64 hexadecimal digits")
    return text


def _run(uri: str, *, digest: str, plan: str) -> int:
    try:
        from airflow_sklearn.worker.run import run_job

        return run_job(uri, digest=digest, plan=plan)
    except Exception as error:  # the job could not be read, or its result could not be written
        _LOG.exception("%s: %s", type(error).__name__, error)
        return exit_codes.BY_KIND[exit_codes.kind_of(error)]


if __name__ == "__main__":
    exit_code = main()
    gc.freeze()  # else Python, at its end, looks through all objects of the libraries for garbage: 0.1 s
    sys.exit(exit_code)
