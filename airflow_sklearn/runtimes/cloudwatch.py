"""A worker's log in Amazon CloudWatch Logs: where it is, its lines, and its page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow_sklearn.contract.document import Value

if TYPE_CHECKING:
    from pydantic import JsonValue

_PAGES = 50  # of up to 10,000 lines or 1 MB each, in one look: what comes after waits for the next


class LogStream(Value):
    """One log stream."""

    group: str
    stream: str
    region: str

    @property
    def url(self) -> str:
        """Its page in the AWS console, which wants names quoted twice, with ``$`` for the outer ``%``."""

        def twice(name: str) -> str:
            return quote(quote(name, safe=""), safe="").replace("%", "$")

        return (
            f"https://{self.region}.console.aws.amazon.com/cloudwatch/home?region={self.region}"
            f"#logsV2:log-groups/log-group/{twice(self.group)}/log-events/{twice(self.stream)}"
        )

    def read(self, client: Any, cursor: JsonValue = None) -> tuple[list[str], JsonValue]:
        """The lines since ``cursor``, and the next cursor. No lines if the stream is not there (yet).

        :param client: boto3's, of ``logs``.
        :param cursor: the ``nextForwardToken`` of the page read last; None for the beginning.
        """
        lines: list[str] = []
        for _ in range(_PAGES):
            token = {"nextToken": cursor} if isinstance(cursor, str) else {}
            try:
                page = client.get_log_events(
                    logGroupName=self.group, logStreamName=self.stream, startFromHead=True, **token
                )
            except client.exceptions.ResourceNotFoundException:
                break
            lines += [event["message"].rstrip("\n") for event in page["events"]]
            # The end has been reached when the service answers with the token that it was asked with; pages before it
            # may be empty.
            reached, cursor = page["nextForwardToken"] == cursor, page["nextForwardToken"]
            if reached:
                break
        return lines, cursor
