"""Where a page's links lead."""

from __future__ import annotations

import re
from urllib.parse import quote

from airflow_sklearn.aws.console import console_domain

_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f]")  # not allowed in a URL; browsers drop some of them
_SAFE_IN_A_PATH = "/=:@+,~"


def href(uri: str, folder: str = "") -> str:
    """The target of a link to a URI; empty: there is none.

    Files below the page's own folder are linked relative to it, so that a copy of the folder has working links. No
    other scheme than ``file``, ``s3``, ``http`` and ``https`` is accepted: a text from a document must not run in the
    browser of a person who clicks it.

    :param folder: the URI of the page's folder.
    """
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return ""
    if scheme == "file":
        if folder and uri.startswith(f"{folder}/"):
            return quote(uri[len(folder) + 1 :], safe="/=+,~") or "./"
        return "file://" + quote(rest, safe=_SAFE_IN_A_PATH)
    if scheme in ("http", "https"):
        return "" if _UNPRINTABLE.search(uri) else uri
    if scheme != "s3":
        return ""
    bucket, _, key = rest.partition("/")
    kind = "buckets" if not key or key.endswith("/") else "object"
    return f"https://{console_domain('')}/s3/{kind}/{quote(bucket, safe='')}?prefix={quote(key, safe='/')}"
