"""Write the JSON Schema of every stored document to ``docs/schemas``, one file a format and version.

Run it by ``make schemas`` after a change to ``airflow_sklearn/contract``; a test compares.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import airflow_sklearn.contract
from airflow_sklearn.contract.document import Document

SCHEMAS = Path(__file__).parent / "schemas"


def documents() -> list[type[Document]]:
    """Every stored document of the contract, by its format."""
    for module in pkgutil.iter_modules(airflow_sklearn.contract.__path__):
        importlib.import_module(f"airflow_sklearn.contract.{module.name}")
    return sorted((kind for kind in _below(Document) if hasattr(kind, "FORMAT")), key=lambda kind: kind.FORMAT)


def schema_of(kind: type[Document]) -> dict[str, Any]:
    """The JSON Schema of a document, which names its one format."""
    schema = kind.model_json_schema(mode="serialization")
    schema["properties"]["format"] = {"const": f"{kind.FORMAT}/{kind.VERSION}"}
    schema["required"] = sorted({*schema.get("required", []), "format"})
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def schema_files() -> dict[str, str]:
    """File name to text."""
    return {
        f"{kind.FORMAT.rpartition('/')[2]}.v{kind.VERSION}.json": json.dumps(schema_of(kind), indent=2) + "\n"
        for kind in documents()
    }


def _below(kind: type[Document]) -> Iterator[type[Document]]:
    for below in kind.__subclasses__():
        if below.__module__.startswith("airflow_sklearn."):
            yield below
            yield from _below(below)


def main() -> None:
    SCHEMAS.mkdir(exist_ok=True)
    files = schema_files()
    for name, text in files.items():
        (SCHEMAS / name).write_text(text)
    # A file of a format that is gone stays where its VERSION was published: documents of that version exist.
    print(f"{len(files)} schemas in {SCHEMAS}")


if __name__ == "__main__":
    main()
