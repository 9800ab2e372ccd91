"""Throttles and outages: microburst, a proxy before ministack that answers as AWS does when it has trouble."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from local_cloud import ministack, processes
from local_cloud.waiting import PATIENCE


class Faults:
    """What goes wrong between a client and the local cloud.

    :param endpoint: the proxy's URL.
    """

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint

    @contextmanager
    def error(
        self,
        service: str,
        operation: str,
        code: str = "ThrottlingException",
        status: int = 400,
        *,
        message: str = "Rate exceeded",
        times: int | None = None,
        seconds: float | None = None,
    ) -> Iterator[Rule]:
        """While the block runs, ``operation`` is answered with an error::

            with faults.error("ecs", "DescribeTasks", times=3) as throttle:
                ...
            assert throttle.fired == 3

        :param service: its name in AWS's signatures: ecs, logs, s3.
        :param operation: as in the API reference.
        :param code: the error's name.
        :param status: the answer's HTTP status.
        :param times: no more often than this.
        :param seconds: no longer than this.
        """
        wanted: dict[str, Any] = {
            "service": service,
            "operation": operation,
            "error": {"code": code, "status": status, "message": message},
        }
        if times is not None:
            wanted["times"] = times
        if seconds is not None:
            wanted["ttl_s"] = seconds
        rule = Rule(self, self._call("PATCH", "rules", [wanted])[-1]["id"])
        try:
            yield rule
        finally:
            rule.end()
            self._call("DELETE", "rules", [{"service": service, "operation": operation}])

    def throttle(self, operation: str, *, times: int | None = None, seconds: float | None = None) -> Any:
        """:meth:`error`, for the throttles of ECS."""
        return self.error("ecs", operation, times=times, seconds=seconds)

    def unavailable(
        self, service: str, operation: str, *, times: int | None = None, seconds: float | None = None
    ) -> Any:
        """:meth:`error`, for a service that answers 503."""
        return self.error(
            service, operation, "ServiceUnavailableException", 503, message="unavailable", times=times, seconds=seconds
        )

    def fired(self, rule_id: int) -> int:
        """How often a rule that still holds has struck."""
        return int(next(rule["fired_count"] for rule in self._call("GET", "rules") if rule["id"] == rule_id))

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.endpoint}/_microburst/{path}", data=data, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)


class Rule:
    """One fault, and how often it struck."""

    def __init__(self, faults: Faults, rule_id: int) -> None:
        self._faults, self._id = faults, rule_id
        self._final: int | None = None

    @property
    def fired(self) -> int:
        """How often it has struck until now, or until its block ended."""
        return self._faults.fired(self._id) if self._final is None else self._final

    def end(self) -> None:
        """Remember the count: the rule goes."""
        self._final = self.fired


@contextmanager
def proxy(upstream: str, host: str, log: Path) -> Iterator[Faults]:
    """Start microburst before ``upstream``, and end it.

    :param log: the file that gets what it prints.
    :raises RuntimeError: it did not start.
    """
    endpoint = f"http://{host}:{(port := processes.free_port(host))}"
    command = [str(ministack.interpreter()), "-m", "local_cloud.aws_server.fault_proxy", "--upstream", upstream]
    listen = ["--host", host, "--port", str(port)]
    environment = {**os.environ, "PYTHONPATH": str(processes.REPOSITORY)}
    with processes.process([*command, *listen], log, f"{endpoint}/_microburst/health", environment):
        yield Faults(endpoint)
