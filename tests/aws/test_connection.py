from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_sklearn.aws.connection import AwsConnection
from tests.waiting import PATIENCE, wait_for


def test_who_waits_for_airflows_answer_keeps_nobody_else_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the triggerer an answer may never come: the thread hangs, and the next one must not."""
    asked, forever = list[str](), threading.Event()

    def hook(_: AwsConnection, service: str, *__: Any) -> Any:
        asked.append(service)
        if len(asked) == 1:
            forever.wait(PATIENCE)
        return SimpleNamespace(get_conn=lambda: f"client of {service}")

    monkeypatch.setattr(AwsConnection, "_hook", hook)
    connection = AwsConnection("aws_default")
    hanging = threading.Thread(target=connection.client, args=("ec2",))
    hanging.start()
    wait_for(lambda: asked)
    try:
        assert connection.client("s3") == "client of s3"
        assert connection.client("ec2") == "client of ec2"
        assert connection.client("ec2") == "client of ec2"
        assert asked == ["ec2", "s3", "ec2"], "clients are kept"
    finally:
        forever.set()
        hanging.join(PATIENCE)
