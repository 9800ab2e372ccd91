"""The table that the benchmarks run on: 20 floats, 6 integers, 4 string categories, a key, a binary target."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

LEVELS = (5, 12, 50, 300)
_ROW_GROUP_ROWS = 1 << 17


def make_table(rows: int, seed: int = 0) -> pa.Table:
    """``rows`` rows; one float in 50 and one category in 100 is null."""
    rng = np.random.default_rng(seed)
    columns: dict[str, pa.Array] = {"key": pa.array(np.arange(rows) + seed * 10**9)}
    score = np.zeros(rows)
    for i in range(20):
        values = rng.normal(size=rows).round(4)
        score += values * (i % 5 - 2) / 5
        columns[f"float_{i}"] = pa.array(values, mask=rng.random(rows) < 0.02)
    for i in range(6):
        columns[f"integer_{i}"] = pa.array(rng.integers(0, 10 ** (i + 1), rows))
    for i, count in enumerate(LEVELS):
        codes = rng.integers(0, count, rows)
        score += (codes % 3 - 1) / 2
        levels = pa.array([f"level {i}-{code:03d}" for code in range(count)])
        columns[f"category_{i}"] = levels.take(pa.array(codes, mask=rng.random(rows) < 0.01))
    columns["y"] = pa.array((score + rng.logistic(size=rows) > 0).astype(np.int64))
    return pa.table(columns)


def write_table(folder: Path, name: str, rows: int, file_format: str) -> Path:
    """One file of ``rows`` rows, unless it is there already; written in parts, so that memory stays small."""
    path = folder / f"{name}-{rows}.{file_format}"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    schema = make_table(1).schema
    options = pyarrow.csv.WriteOptions(quoting_style="needed")
    with (
        pyarrow.csv.CSVWriter(temporary, schema, write_options=options)
        if file_format == "csv"
        else pq.ParquetWriter(temporary, schema)
    ) as writer:
        for number, start in enumerate(range(0, rows, _ROW_GROUP_ROWS)):
            writer.write(make_table(min(_ROW_GROUP_ROWS, rows - start), seed=number))
    temporary.rename(path)
    return path
