from __future__ import annotations

import pytest

from docs.write_schemas import SCHEMAS, schema_files


@pytest.mark.parametrize("name", schema_files())
def test_the_published_schema_is_current(name: str) -> None:
    published = SCHEMAS / name
    assert published.exists(), f"{name} is not published: run `make schemas`"
    assert published.read_text() == schema_files()[name], f"{name} is out of date: run `make schemas`"


def test_every_schema_names_its_one_format() -> None:
    for name, text in schema_files().items():
        document, version = name.removesuffix(".json").split(".v")
        assert f'"const": "airflow-sklearn/{document}/{version}"' in text
