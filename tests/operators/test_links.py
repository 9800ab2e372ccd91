from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from airflow_sklearn.operators import links
from airflow_sklearn.operators.links import JobLink, ModelManifestLink, console_url
from airflow_sklearn.provider_info import get_provider_info


@pytest.mark.parametrize(
    ("uri", "url"),
    [
        ("s3://b/m/v 1/manifest.json", "https://console.aws.amazon.com/s3/object/b?prefix=m/v%201/manifest.json"),
        ("s3://b/scores/date=1/", "https://console.aws.amazon.com/s3/buckets/b?prefix=scores/date%3D1/"),
        ("s3://b", "https://console.aws.amazon.com/s3/buckets/b?prefix="),
        ("x-redshift://redshift_default/public/scores", "https://console.aws.amazon.com/sqlworkbench/home"),
        ("https://eu-west-1.console.aws.amazon.com/ecs?a=b#c", "https://eu-west-1.console.aws.amazon.com/ecs?a=b#c"),
        ("http://localhost:9000/x", "http://localhost:9000/x"),
    ],
)
def test_a_uri_opens_where_a_browser_can_show_it(monkeypatch: pytest.MonkeyPatch, uri: str, url: str) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    assert console_url(uri) == url


@pytest.mark.parametrize(
    ("region", "host"),
    [("cn-north-1", "console.amazonaws.cn"), ("us-gov-west-1", "console.amazonaws-us-gov.com")],
)
def test_other_partitions_have_consoles_of_their_own(monkeypatch: pytest.MonkeyPatch, region: str, host: str) -> None:
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", region)
    assert console_url("s3://b/x") == f"https://{host}/s3/object/b?prefix=x"


def test_files_open_where_they_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__AIRFLOW_SKLEARN__LOCAL_FILES_URL", "/local-files")
    assert console_url("file:///data/x.json") == "/local-files/data/x.json"


@pytest.mark.parametrize("url", ["file://", "http://files.example.com", "https://files.example.com/root"])
def test_the_configuration_says_where_local_files_open(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("AIRFLOW__AIRFLOW_SKLEARN__LOCAL_FILES_URL", url)
    assert console_url("file:///data/day=1/a b?#.json") == f"{url}/data/day=1/a%20b%3F%23.json"


@pytest.mark.parametrize("url", ["", "javascript:alert(1)//", "data:text/html,x"])
def test_local_files_have_no_link_where_the_configuration_names_no_place(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("AIRFLOW__AIRFLOW_SKLEARN__LOCAL_FILES_URL", url)
    assert console_url("file:///data/x.json") == ""


@pytest.mark.parametrize(
    "uri",
    [
        "javascript:alert(document.cookie)//",
        "javascript://x/%0aalert(1)",
        "JavaScript:alert(1)",
        "java\tscript://alert(1)",
        "https://a\nb",
        "data:text/html,<script>alert(1)</script>",
        "vbscript:x",
        "ftp://host/x",
        "//evil.example.com/x",
        "/etc/passwd",
        "",
    ],
)
def test_no_other_scheme_becomes_a_link(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setattr(links.XCom, "get_value", lambda **_: uri)
    assert ModelManifestLink().get_link(None, ti_key=None) == ""  # type: ignore[arg-type]


def test_a_bucket_of_a_document_stays_within_the_console() -> None:
    assert "/s3/object/..%3Fx?prefix=" in console_url("s3://..?x/k")


def test_a_task_that_pushed_nothing_has_no_link(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links.XCom, "get_value", lambda **_: None)
    assert ModelManifestLink().get_link(None, ti_key=None) == ""  # type: ignore[arg-type]


def test_every_link_of_an_operator_is_registered_with_the_provider() -> None:
    from airflow_sklearn import (
        SklearnCommitOperator,
        SklearnCompareOperator,
        SklearnPlanOperator,
        SklearnPredictOperator,
        SklearnTrainOperator,
    )

    operators = (
        SklearnTrainOperator,
        SklearnPlanOperator,
        SklearnPredictOperator,
        SklearnCommitOperator,
        SklearnCompareOperator,
    )
    used = {f"{type(link).__module__}.{type(link).__name__}" for o in operators for link in o.operator_extra_links}
    assert used == set(get_provider_info()["extra-links"])


def test_a_task_that_ends_knows_its_links_and_asks_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(**_: object) -> str:
        raise AssertionError("Airflow logs an error where the XCom is not there")

    monkeypatch.setattr(links.XCom, "get_value", ask)
    task: Any = SimpleNamespace(known_links={ModelManifestLink.key: "s3://b/m.json"})
    assert ModelManifestLink().get_link(task, ti_key=None).endswith("?prefix=m.json")
    assert JobLink().get_link(task, ti_key=None) == ""


def test_what_another_process_stored_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links.XCom, "get_value", lambda key, ti_key: {JobLink.key: "https://acme.com/job"}.get(key))
    for task in (SimpleNamespace(known_links=None), SimpleNamespace()):
        assert JobLink().get_link(task, ti_key=None) == "https://acme.com/job"  # type: ignore[arg-type]
