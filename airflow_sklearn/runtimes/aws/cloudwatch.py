"""A worker's log in Amazon CloudWatch Logs: its name, its lines, and its page in the console."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow_sklearn.aws.console import console_of
from airflow_sklearn.contract.document import Value

if TYPE_CHECKING:
    from pydantic import JsonValue

_PAGES = 5  # read at a time, each up to 10,000 lines or 1 MB (GetLogEvents); the rest is read the next time


class LogStream(Value):
    """One log stream."""

    group: str
    stream: str
    region: str

    @property
    def url(self) -> str:
        """The URL of its page in the AWS console. The console expects names quoted twice, with ``$`` for the outer
        ``%``.
        """

        def twice(name: str) -> str:
            return quote(quote(name, safe=""), safe="").replace("%", "$")

        return (
            f"{console_of(self.region)}/cloudwatch/home?region={self.region}"
            f"#logsV2:log-groups/log-group/{twice(self.group)}/log-events/{twice(self.stream)}"
        )

    def read(self, client: Any, cursor: JsonValue = None) -> tuple[list[str], JsonValue]:
        """Read the lines after ``cursor``. There are none if the stream does not exist (yet).

        :param client: a boto3 client for ``logs``.
        :param cursor: the cursor that the last call returned; None: the beginning. It holds the ``nextForwardToken`` of
            the last page and the time of the last line.
        :return: the lines, and the next cursor.
        :raises Exception: the first page cannot be read. If a later one cannot, the lines before it are returned.
        """
        seen = cursor if isinstance(cursor, dict) else {}
        token, time = seen.get("token"), seen.get("time")
        lines: list[str] = []
        for number in range(_PAGES):
            try:
                page = self._page(client, token, time)
            except client.exceptions.ResourceNotFoundException:
                break
            except Exception:
                if number == 0:
                    raise
                break
            lines += [event["message"].rstrip("\n") for event in page["events"]]
            time = page["events"][-1]["timestamp"] if page["events"] else time
            # The end has been reached when the service answers with the token that it was asked with; pages before it
            # may be empty.
            reached, token = page["nextForwardToken"] == token, page["nextForwardToken"]
            if reached:
                break
        return lines, {"token": token, "time": time} if token else cursor

    def _page(self, client: Any, token: JsonValue, time: JsonValue) -> Any:
        where: dict[str, Any] = {"logGroupName": self.group, "logStreamName": self.stream, "startFromHead": True}
        if not token:
            return client.get_log_events(**where)
        try:
            return client.get_log_events(**where, nextToken=token)
        except client.exceptions.InvalidParameterException:
            # Tokens expire after 24 hours. Then the time of the last line tells nearly as well where to continue.
            return client.get_log_events(**where, **({"startTime": time + 1} if isinstance(time, int) else {}))
