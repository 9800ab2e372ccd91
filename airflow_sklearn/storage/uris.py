"""Storage URIs as text: joining, splitting, patterns. A URI's path is literal: percent signs are not decoded."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_sklearn.exceptions import UserError
from airflow_sklearn.storage.registry import find_store

if TYPE_CHECKING:
    from collections.abc import Callable

_MAGIC = re.compile(r"[*?\[]")


def join(uri: str, *parts: str) -> str:
    """Append parts to a URI, with one slash between them: ``join("s3://b/a/", "c")`` is ``"s3://b/a/c"``."""
    return "/".join(
        [uri.rstrip("/"), *(part.strip("/") for part in parts[:-1]), *(part.lstrip("/") for part in parts[-1:])]
    )


def parent(uri: str) -> str:
    """The folder of an object, without a trailing slash."""
    return uri.rpartition("/")[0]


def split_scheme(uri: str) -> tuple[str, str]:
    """Split a URI into scheme and path: ``("s3", "bucket/key")`` or ``("file", "/absolute/path")``.

    :raises UserError: no store has the scheme, or no object of it can have this URI: the path is relative, say.
    """
    if uri.startswith("/"):
        return "file", uri
    scheme, separator, rest = uri.partition("://")
    if not separator or (store := find_store(scheme)) is None:
        raise UserError(
            f"{uri!r} is not a storage URI. Use s3://bucket/key, file:///absolute/path, or an absolute path."
        )
    store.check_uri(uri, rest)
    return scheme, rest


def is_pattern(uri: str) -> bool:
    """Whether a URI contains one of the wild cards ``*``, ``?`` and ``[``."""
    return _MAGIC.search(uri) is not None


def pattern_root(uri: str) -> str:
    """The deepest folder, with a slash at its end, that holds everything that a pattern can match."""
    magic = _MAGIC.search(uri)
    return uri[: uri.rindex("/", 0, magic.start()) + 1] if magic else uri


def pattern_regex(pattern: str) -> re.Pattern[str]:
    """A regular expression for whole URIs that match a glob.

    ``*`` and ``?`` match within one folder, ``**`` matches across folders.
    """
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
    """Whether a part of a relative path starts with ``_`` or ``.``, as those of ledgers, manifests and temporary files
    do.
    """
    return any(part.startswith(("_", ".")) and "=" not in part for part in name.split("/"))


@dataclass(frozen=True)
class Selection:
    """Which objects a listing returns.

    :param what: the request in words, for messages.
    :param root: the prefix of all their URIs.
    :param takes: whether an object's URI is selected.
    :param enters: whether a selected object may lie below a folder (a URI that ends in a slash). Stores with real
        folders enter no others: those may be unreadable, and do not matter.
    """

    what: str
    root: str
    takes: Callable[[str], bool]
    enters: Callable[[str], bool]


def with_prefix(prefix: str) -> Selection:
    """Select all objects whose URI starts with ``prefix``."""
    return Selection(
        what=prefix,
        root=prefix,
        takes=lambda uri: uri.startswith(prefix),
        enters=lambda folder: folder.startswith(prefix) or prefix.startswith(folder),
    )


def visible_matches(uri: str) -> Selection:
    """Select the objects that a glob, or a prefix that ends in ``/``, stands for. Hidden names are left out."""
    root = pattern_root(uri)
    regex = None if uri.endswith("/") else pattern_regex(uri)
    levels = [] if regex is None else uri[len(root) :].split("/")[:-1]

    def takes(found: str) -> bool:
        name = found[len(root) :]
        if not name or name.endswith("/") or is_hidden(name):
            return False
        return regex is None or regex.fullmatch(found) is not None

    def enters(folder: str) -> bool:
        name = folder[len(root) :].rstrip("/")
        return not is_hidden(name) and (regex is None or _may_match_below(name.split("/"), levels, uri))

    return Selection(what=uri, root=root, takes=takes, enters=enters)


def _may_match_below(folders: list[str], levels: list[str], pattern: str) -> bool:
    """Whether a pattern may match an object below a folder.

    :param folders: the names of the folders from the root down to this one.
    :param levels: the names of the pattern's folders from the root.
    :param pattern: the whole pattern.
    """
    for depth, folder in enumerate(folders):
        if depth == len(levels):
            return "**" in pattern.rpartition("/")[2]
        level = levels[depth]
        if "**" in level or level.count("[") != level.count("]"):  # crosses folders, or a slash cuts brackets
            return True
        if not pattern_regex(level).fullmatch(folder):
            return False
    return True


def absolute_uri(uri: str) -> str:
    """A URI in the form that the storage uses: an absolute local path becomes a ``file://`` URI.

    :raises UserError: the path is relative. A task has no working directory that a user has chosen.
    """
    if uri.startswith("/"):
        return f"file://{uri}"
    if "://" not in uri:
        raise UserError(f"{uri!r} is a relative path. Use s3://bucket/key, file:///absolute/path, or an absolute path.")
    return uri


def place_uri(place: str) -> str:
    """The URI of a place. A path may be relative, unlike in a DAG, because it is used at once.

    :raises UserError: it is no text, or has an unknown scheme.
    """
    if not isinstance(place, str) or not place:
        raise UserError(f"{place!r} is no place: give a URI or a path.")
    uri = absolute_uri(place if "://" in place else os.path.abspath(place))
    split_scheme(uri)
    return uri.rstrip("/")


def source_uris(given: Any) -> Any:
    """A source whose paths may be relative, as a source of URIs: a text, a list of texts, or a mapping with ``uri``.
    Other values are returned as they are.
    """
    if isinstance(given, Mapping):
        return {**given, "uri": source_uris(given["uri"])} if "uri" in given else given
    if isinstance(given, list | tuple) and all(isinstance(one, str) for one in given):
        return [source_uris(one) for one in given]
    if not isinstance(given, str):
        return given
    return f"{place_uri(given)}/" if given.endswith("/") else place_uri(given)
