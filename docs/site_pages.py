"""What a page of the site holds beside its own text: files of the repository, and sections that are made from code."""

from __future__ import annotations

import ast
import inspect
import os
import re
import textwrap
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

from airflow_sklearn.contract.document import Document
from airflow_sklearn.settings import OPTIONS
from docs.write_schemas import documents, schema_of

ROOT = Path(__file__).parents[1]

#: Pages that are a file of the repository.
SHOWN = {
    "changelog": "CHANGELOG.md",
    "contributing": "CONTRIBUTING.md",
    "guides/image": "images/README.md",
    "guides/local_cloud": "local_cloud/README.md",
}
_PAGES = {path: f"docs/{page}.md" for page, path in SHOWN.items()} | {
    "README.md": "docs/index.md",
    "SECURITY.md": "docs/guides/security.md",
}
_PARAM = re.compile(r"^:param (\w+): (.+(?:\n +.+)*)", re.MULTILINE)
_LINK = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")


def read_page(app: Any, page: str, source: list[str]) -> None:
    """Sphinx's event ``source-read``: ``source`` holds the page's text, and takes the text that is shown.

    :param app: Sphinx's application, which is not used.
    :param page: the page's name, such as ``guides/ecs``.
    """
    text, path = source[0], Path(f"docs/{page}.md")
    if page in SHOWN:
        path = Path(SHOWN[page])
        text = (ROOT / path).read_text()
    for mark, sections in SECTIONS.items():
        if mark in text:
            text = text.replace(mark, sections())
    source[0] = _LINK.sub(lambda link: _link(link[1], link[2], path.parent, page), text)


def _link(label: str, target: str, folder: Path, page: str) -> str:
    """A link as the site needs it: to its own pages, or to a copy of a file; of a folder the label alone."""
    place, mark, heading = target.partition("#")
    if not place or re.match(r"[a-z]+:", place):
        return f"[{label}]({target})"
    path = os.path.normpath(folder / place)
    path = _PAGES.get(path, path)
    if (ROOT / path).is_dir():
        return label
    return f"[{label}]({os.path.relpath(path, f'docs/{page}/..')}{mark}{heading})"


def settings_sections() -> str:
    """A section for each setting of ``[airflow_sklearn]``."""
    return "\n\n".join(
        f"## {name}\n\n{one['description']}\n\n"
        f"Type: {one['type']}. Default: {_code(one['default']) or 'empty'}. "
        f"Example: {_code(one['example'])}. Since {one['version_added']}."
        for name, one in OPTIONS.items()
    )


def document_sections() -> str:
    """A section for each stored document: what it is, its fields, and a link to its schema."""
    sections = []
    for kind in documents():
        name = kind.FORMAT.rpartition("/")[2]
        lines = inspect.cleandoc(kind.__doc__ or "").replace("``", "`").partition("\n:param")[0]
        meanings = _meanings(kind)
        fields = schema_of(kind)["properties"]
        rows = [f"| `{field}` | {_type_of(one)} | {_cell(meanings.get(field, ''))} |" for field, one in fields.items()]
        file = f"{name}.v{kind.VERSION}.json"
        sections += [f"## {name}", lines, f"Format `{kind.FORMAT}/{kind.VERSION}`. Schema: [{file}](../schemas/{file})"]
        sections += ["\n".join(["| field | type | meaning |", "|---|---|---|", *rows])]
    return "\n\n".join(sections)


def _type_of(field: dict[str, Any]) -> str:
    if "$ref" in field:
        return f"`{field['$ref'].rpartition('/')[2]}`"
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_type_of(one) for one in field["anyOf"]))
    if "const" in field:
        return f"`{field['const']}`"
    if "items" in field and isinstance(field["items"], dict):
        return f"list of {_type_of(field['items'])}"
    if "prefixItems" in field:
        return "list"
    if isinstance(field.get("additionalProperties"), dict):
        return f"object of {_type_of(field['additionalProperties'])}"
    return str(field.get("type", "any"))


def _meanings(kind: type[Document]) -> dict[str, str]:
    """What the docstrings of a document's class, and of its fields, say of each field."""
    found = {"format": "The document's format, and its version."}
    for one in (base for base in reversed(kind.__mro__) if base.__module__.startswith("airflow_sklearn.contract")):
        found |= dict(_PARAM.findall(inspect.cleandoc(one.__doc__ or "")))
        (defined,) = ast.parse(textwrap.dedent(inspect.getsource(one))).body
        body = cast("ast.ClassDef", defined).body
        for field, text in pairwise(body):
            match field, text:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(said))):
                    found[name] = said
    return found


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _cell(text: str) -> str:
    """A text as a cell of a table."""
    return " ".join(text.split()).replace("``", "`").replace("|", "\\|").replace("<", "&lt;")


SECTIONS: dict[str, Callable[[], str]] = {
    "<!-- sections: settings -->": settings_sections,
    "<!-- sections: documents -->": document_sections,
}
"""By the comment that a page has in their place."""
