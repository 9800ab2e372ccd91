"""How many calls of AWS's APIs it costs to watch deferred chunks: none may be made chunk by chunk.

    python -m benchmarks.calls                # on ECS and on EC2: 1, 100 and 1,000 chunks
    python -m benchmarks.calls --place ec2 --chunks 250 --ticks 10

Real triggers in one event loop, as in a triggerer, watch real handles of ``EcsRuntime`` or ``Ec2Runtime``; every call
of boto3 is counted. AWS is ministack without Docker: tasks and instances run for ever, and every
log has some lines. Ends with an error if a tick needs more calls than one for each 100 tasks or 200 instances (and one
listing), or reads more logs than a few.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import math
import os
import sys
import tempfile
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

CHUNKS = (1, 100, 1000)
LOG_CALLS_A_TICK = 4  # two logs, each in at most two calls: its lines, and that there are no more
_INTERVAL = 0.5  # seconds between two ticks
_GROUP, _PREFIX = "/airflow-sklearn", "worker"
_AMI = "ami-0c2023a1b2c3d4e5f"  # one that ministack knows


class Place(NamedTuple):
    """Where the chunks run."""

    describes: str
    """The call that tells the states of many."""
    many: int
    lists: int
    """Listings in S3 in each tick."""


PLACES = {"ecs": Place("DescribeTasks", 100, 0), "ec2": Place("DescribeInstances", 200, 1)}


class Calls:
    """Counts the calls of all clients that Airflow connections make."""

    def __init__(self) -> None:
        from airflow_sklearn.aws.connection import AwsConnection

        self.total: Counter[str] = Counter()
        self.at_ticks: list[tuple[float, Counter[str]]] = []
        make = AwsConnection.client

        def client(connection: AwsConnection, *wanted: Any, **options: Any) -> Any:
            made = make(connection, *wanted, **options)
            made.meta.events.register("provide-client-params", self._count, unique_id="benchmarks.calls")
            return made

        AwsConnection.client = client  # type: ignore[method-assign]

    def note_ticks(self, runtime: type[Any]) -> None:
        """A tick begins with each look of a runtime at its jobs."""
        poll = runtime.poll

        def tick(bound: Any, handles: Any) -> Any:
            self.at_ticks.append((time.perf_counter(), self.total.copy()))
            return poll(bound, handles)

        runtime.poll = tick

    def _count(self, model: Any, **_: Any) -> None:
        self.total[model.name] += 1

    def reset(self) -> None:
        self.total.clear()
        self.at_ticks.clear()

    def by_tick(self) -> list[Counter[str]]:
        """Of the ticks that another one followed."""
        counts = [total for _, total in self.at_ticks]
        return [after - before for before, after in pairwise(counts)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--place", choices=PLACES, action="append", help="(default: all)")
    parser.add_argument("--chunks", type=int, nargs="+", default=CHUNKS, help="(default: %(default)s)")
    parser.add_argument("--ticks", type=int, default=6, help="looks at all chunks (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {
            "AIRFLOW_HOME": home,
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        from local_cloud import ministack

        with ministack.running(Path(home) / "ministack.log", services="ec2,ecs,logs,s3,sts") as cloud:
            os.environ["AIRFLOW_CONN_AWS_DEFAULT"] = json.dumps(cloud.connection)
            logging.disable(logging.WARNING)
            calls = Calls()
            return max(measure(cloud, calls, name, options.chunks, options.ticks) for name in options.place or PLACES)


def measure(cloud: Any, calls: Calls, name: str, sizes: list[int], ticks: int) -> int:
    """Print the table; the exit code."""
    from airflow_sklearn.aws.connection import AwsConnection

    runtime, place = prepare(cloud, name), PLACES[name]
    counted = (place.describes, "ListObjectsV2", "GetLogEvents")
    print(type(runtime).__name__)
    calls.reset()
    calls.note_ticks(type(runtime))
    started = submit(cloud, runtime.bind(AwsConnection("aws_default")), 1)
    print("To start one chunk:", ", ".join(f"{count} {name}" for name, count in sorted(calls.total.items())))
    handles = started + submit(cloud, runtime.bind(AwsConnection("aws_default")), max(sizes) - 1, first=1)
    print(f"To watch deferred chunks, in each of {ticks} ticks:")
    print(f"{'chunks':>7}{'triggers':>10}" + "".join(f"{name:>18}" for name in (*counted, "others", "ms a tick")))
    faults = []
    for size in sizes:
        calls.reset()
        asyncio.run(watch(runtime, handles[:size], calls, ticks))
        found = calls.by_tick()
        others = [sum(count for name, count in tick.items() if name not in counted) for tick in found]
        pause = [end - start for (start, _), (end, _) in pairwise(calls.at_ticks)]
        columns = [span([tick[name] for tick in found]) for name in counted]
        work = f"{1000 * max(0.0, sum(pause) / len(pause) - _INTERVAL):,.0f}"
        print(f"{size:>7,}{size:>10,}" + "".join(f"{text:>18}" for text in (*columns, span(others), work)))
        faults += [f"{size} chunks: {tick}" for tick in found if too_many(tick, size, place)]
    for fault in faults:
        print(f"TOO MANY CALLS in a tick of {fault}", file=sys.stderr)
    return 1 if faults else 0


def prepare(cloud: Any, name: str) -> Any:
    """What the runtime needs to be there; the runtime."""
    from airflow_sklearn.runtimes.ec2 import Ec2Runtime
    from airflow_sklearn.runtimes.ecs import EcsRuntime

    with contextlib.suppress(cloud.client("logs").exceptions.ResourceAlreadyExistsException):
        cloud.client("logs").create_log_group(logGroupName=_GROUP)
    cloud.client("s3").create_bucket(Bucket="bucket")
    if name == "ec2":
        return Ec2Runtime(image="image", image_id=_AMI, instance_types=["m7i.large"], awslogs_group=_GROUP)

    options = {"awslogs-group": _GROUP, "awslogs-region": cloud.region, "awslogs-stream-prefix": _PREFIX}
    log = {"logDriver": "awslogs", "options": options}
    cloud.client("ecs").create_cluster(clusterName="ml")
    cloud.client("ecs").register_task_definition(
        family="airflow-sklearn",
        cpu="256",
        memory="512",
        containerDefinitions=[{"name": "worker", "image": "image", "logConfiguration": log}],
    )
    return EcsRuntime(cluster="ml", task_definition="airflow-sklearn")


def submit(cloud: Any, runtime: Any, count: int, *, first: int = 0) -> list[Any]:
    """Look for earlier containers and start one, as a task does, for each chunk; each has logged ten lines."""
    from airflow_sklearn.contract.jobs import JobIdentity, PredictJob
    from airflow_sklearn.contract.plan import Chunk

    logs, handles = cloud.client("logs"), []
    for number in range(first, first + count):
        job = PredictJob.model_construct(
            identity=JobIdentity(dag_id="dag", task_id="predict", run_id="run", map_index=number, try_number=1),
            result_uri=f"s3://bucket/ledger/jobs/{number}.result.json",
            ledger="s3://bucket/ledger",
            fingerprint="",
            chunk=Chunk(id=f"{number}", label=f"part-{number}.csv", pieces=()),
        )
        assert runtime.find(job) is None
        handles.append(runtime.submit(f"s3://bucket/ledger/jobs/{number}.json", job, survives_parent=True))
        stream = {"logGroupName": _GROUP, "logStreamName": handles[-1].data["log"]["stream"]}
        logs.create_log_stream(**stream)
        now = int(time.time() * 1000)
        events = [{"timestamp": now, "message": f"2026-01-01 00:00:00 INFO line {line}"} for line in range(10)]
        logs.put_log_events(**stream, logEvents=events)
    return handles


async def watch(runtime: Any, handles: list[Any], calls: Calls, ticks: int) -> None:
    """As a triggerer does, until there were so many ticks."""
    from airflow_sklearn.triggers import job as triggers

    triggers._TRIGGERER_CALLS_ON_KILL = True  # in Airflow 2 too: ending them here kills nothing
    watching = [
        asyncio.create_task(anext(triggers.RuntimeTrigger(**trigger_arguments(runtime, handle)).run()))
        for handle in handles
    ]
    while len(calls.at_ticks) <= ticks:
        await asyncio.sleep(0.02)
        for task in watching:
            if task.done():
                raise RuntimeError(f"a trigger fired: {task.result()}")
    for task in watching:
        task.cancel()
    await asyncio.gather(*watching, return_exceptions=True)


def trigger_arguments(runtime: Any, handle: Any) -> dict[str, Any]:
    return {
        "runtime": runtime.to_dict(),
        "handle": handle.model_dump(mode="json"),
        "poll_interval": _INTERVAL,
        "expires_at": None,
        "aws_conn_id": "aws_default",
    }


def too_many(tick: Counter[str], size: int, place: Place) -> bool:
    expected = {place.describes: math.ceil(size / place.many), "ListObjectsV2": place.lists}
    unknown = set(tick) - {*expected, "GetLogEvents"}
    return (
        any(tick[name] != count for name, count in expected.items())
        or tick["GetLogEvents"] > LOG_CALLS_A_TICK
        or bool(unknown)
    )


def span(counts: list[int]) -> str:
    """``3`` or ``1 to 3``."""
    low, high = min(counts), max(counts)
    return f"{low}" if low == high else f"{low} to {high}"


if __name__ == "__main__":
    sys.exit(main())
