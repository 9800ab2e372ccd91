"""Links in Airflow's UI to what a task made, in S3's console or as a file.

Each operator stores the URI in XCom while it runs, and the link is made from it. Airflow 3 makes the link in the worker
when the task ends or is deferred, Airflow 2 in the web server when the page is shown.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from airflow_sklearn import settings
from airflow_sklearn.airflow_compat import BaseOperatorLink, XCom
from airflow_sklearn.aws.console import console_domain

if TYPE_CHECKING:
    from airflow_sklearn.airflow_compat import BaseOperator, Context


_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f]")  # not allowed in a URL; browsers drop some of them
_SAFE_IN_A_PATH = "/=:@+,~"


class UriLink(BaseOperatorLink):
    """A link to one stored object or folder."""

    name: ClassVar[str]
    key: ClassVar[str]
    """The XCom that holds the URI."""

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """The URL of the link; empty if there is none.

        :param ti_key: identifies the task instance.
        """
        known = getattr(operator, "known_links", None)  # set while the task ends: reading XCom would log warnings
        uri = XCom.get_value(key=self.key, ti_key=ti_key) if known is None else known.get(self.key)
        return console_url(uri) if isinstance(uri, str) else ""

    @classmethod
    def persist(cls, context: Context, uri: str) -> None:
        """Store the URI for the link of this task instance."""
        context["ti"].xcom_push(key=cls.key, value=uri)


class ModelManifestLink(UriLink):
    """The manifest of the model version that a task trained."""

    name = "Model manifest"
    key = "airflow_sklearn_model_manifest"


class ModelPageLink(UriLink):
    """The page of the model version that a task trained or registered."""

    name = "Model page"
    key = "airflow_sklearn_model_page"


class ComparePageLink(UriLink):
    """The page that compares models."""

    name = "Comparison"
    key = "airflow_sklearn_compare_page"


class RunLedgerLink(UriLink):
    """The folder with the plan, the receipts and the proof of a prediction run."""

    name = "Run ledger"
    key = "airflow_sklearn_run_ledger"


class RunPageLink(UriLink):
    """The page of a prediction run: complete or not and why, its time, and its data beside those of training."""

    name = "Run page"
    key = "airflow_sklearn_run_page"


class PublishedDataLink(UriLink):
    """The folder with the published predictions, or the query editor of the database."""

    name = "Published data"
    key = "airflow_sklearn_published_data"


class JobLink(UriLink):
    """The host of the task's job, such as an ECS task. Empty for a local process."""

    name = "Job"
    key = "airflow_sklearn_job"


class JobLogLink(UriLink):
    """The job's log stream in CloudWatch. Empty for a local process, whose log is in the task's log."""

    name = "Job log"
    key = "airflow_sklearn_job_log"


def console_url(uri: str) -> str:
    """The URL at which a browser shows a URI; empty if there is none, so that there is no button.

    ``s3://`` leads to S3's console (a folder ends in ``/``), ``x-redshift://`` to Redshift's query editor (no URL leads
    to a table), ``https://`` and ``http://`` to the URL itself. No other scheme is accepted: a text from a document
    must not run in the browser of a person who clicks it.

    A bucket's name does not tell its partition (China and GovCloud have consoles of their own). The region in the
    environment does, if there is one.

    A local file has a link only if ``[airflow_sklearn] local_files_url`` gives the URL, or the path on Airflow's own
    host, at which absolute paths begin.
    """
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return ""
    if scheme in ("https", "http"):
        return "" if _UNPRINTABLE.search(uri) else uri
    if scheme == "file":
        return _local_file_url(rest)
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""
    if scheme == "x-redshift":
        return f"https://{console_domain(region)}/sqlworkbench/home"
    if scheme != "s3":
        return ""
    bucket, _, key = rest.partition("/")
    kind = "buckets" if not key or key.endswith("/") else "object"
    return f"https://{console_domain(region)}/s3/{kind}/{quote(bucket, safe='')}?prefix={quote(key, safe='/')}"


def _local_file_url(path: str) -> str:
    start = settings.text("local_files_url")
    # A configured URL of another form gives no link.
    allowed = start.startswith(("https://", "http://", "file://", "/"))
    return start + quote(path, safe=_SAFE_IN_A_PATH) if allowed and path.startswith("/") else ""
