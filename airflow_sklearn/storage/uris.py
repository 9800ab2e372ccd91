"""Storage URIs as text: joining, splitting, patterns. A path in a URI is taken literally, never percent-decoded."""

from __future__ import annotations

import re

from airflow_sklearn.exceptions import UserError

_MAGIC = re.compile(r"[*?\[]")


def join(uri: str, *parts: str) -> str:
    """``join("s3://b/a/", "c")`` is ``"s3://b/a/c"``."""
    return "/".join(
        [uri.rstrip("/"), *(part.strip("/") for part in parts[:-1]), *(part.lstrip("/") for part in parts[-1:])]
    )


def parent(uri: str) -> str:
    """The folder of an object, without a trailing slash."""
    return uri.rpartition("/")[0]


def split_scheme(uri: str) -> tuple[str, str]:
    """``("s3", "bucket/key")`` or ``("file", "/absolute/path")``.

    :raises UserError: another scheme, or a relative path.
    """
    if uri.startswith("/"):
        return "file", uri
    scheme, separator, rest = uri.partition("://")
    if not separator or scheme not in ("file", "s3"):
        raise UserError(
            f"{uri!r} is not a storage URI. Use s3://bucket/key, file:///absolute/path, or an absolute path."
        )
    if scheme == "file" and not rest.startswith("/"):
        raise UserError(f"{uri!r} has no absolute path. A file URI has three slashes: file:///data/table.csv.")
    if scheme == "s3" and not rest.partition("/")[0]:
        raise UserError(f"{uri!r} names no bucket. Use s3://bucket/key.")
    return scheme, rest


def is_pattern(uri: str) -> bool:
    """Whether a URI holds one of the wild cards ``*``, ``?``, ``[``."""
    return _MAGIC.search(uri) is not None


def pattern_root(uri: str) -> str:
    """The folder, with its slash, below which everything that a pattern can match lies."""
    magic = _MAGIC.search(uri)
    return uri[: uri.rindex("/", 0, magic.start()) + 1] if magic else uri


def pattern_regex(pattern: str) -> re.Pattern[str]:
    """A glob as a regular expression over whole URIs: ``*`` and ``?`` stay within a folder, ``**`` crosses folders."""
    out, i = [], 0
    while i < len(pattern):
        if pattern.startswith("**/", i):
            out.append("(?:.*/)?")
            i += 3
        elif pattern.startswith("**", i):
            out.append(".*")
            i += 2
        elif pattern[i] == "*":
            out.append("[^/]*")
            i += 1
        elif pattern[i] == "?":
            out.append("[^/]")
            i += 1
        elif pattern[i] == "[" and (close := pattern.find("]", i + 2)) > 0:
            body = pattern[i + 1 : close].replace("\\", r"\\")
            out.append(f"[{'^' + body[1:] if body[0] == '!' else body}]")
            i = close + 1
        else:
            out.append(re.escape(pattern[i]))
            i += 1
    return re.compile("".join(out))


def is_hidden(name: str) -> bool:
    """Whether a path below a folder has a part that starts with ``_`` or ``.``: ledgers, manifests, temporary files."""
    return any(part.startswith(("_", ".")) and "=" not in part for part in name.split("/"))
