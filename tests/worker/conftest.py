from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from benchmarks.tables import make_table
from tests.worker.workbench import Workbench, folder


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    return Workbench(folder(tmp_path))


@pytest.fixture(scope="session")
def table() -> pa.Table:
    """5,003 rows with nulls; a key, floats, integers, categories and a binary target."""
    return make_table(5_003).select(
        ["key", "float_0", "float_1", "float_2", "integer_0", "integer_3", "category_0", "category_2", "y"]
    )
