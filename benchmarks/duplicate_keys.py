"""Memory and time to find the keys that occur twice in a chunk, beside a set of hashes and a ``Counter`` of keys.

    python -m benchmarks.duplicate_keys            # 1.5 million keys, each in two rows
    python -m benchmarks.duplicate_keys --keys 300000

Each side is a process of its own. Memory is what its peak rises by while it looks for duplicates.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from airflow_sklearn.worker.key_hash import hash_columns
from airflow_sklearn.worker.prediction.duplicate_keys import find_duplicates
from airflow_sklearn.worker.prediction.keys import KeyHasher, repeated_hashes

if TYPE_CHECKING:
    from collections.abc import Iterator

_BATCH_ROWS = 1 << 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--keys", type=int, default=1_500_000, help="each in two rows (default: %(default)s)")
    parser.add_argument("--measure", choices=["arrow", "counter"], help=argparse.SUPPRESS)
    options, found = parser.parse_args(), {}
    if options.measure:
        print(*measure(options.measure, options.keys))
        return
    for side in ("counter", "arrow"):
        command = [sys.executable, "-m", "benchmarks.duplicate_keys", "--measure", side, "--keys", str(options.keys)]
        found[side] = memory, seconds, rows = [float(said) for said in subprocess.check_output(command).split()]
        print(f"{side:10}{memory / 1e6:>8,.0f} MB{seconds:>8.1f} s{rows:>12,.0f} duplicates")
    print(f"memory: {found['arrow'][0] / found['counter'][0]:.2f} of the counter's")


def measure(side: str, keys: int) -> tuple[int, float, int]:
    """:return: bytes that the peak memory rises by, seconds, duplicates found."""
    with tempfile.TemporaryDirectory() as folder:
        table, hashes = os.path.join(folder, "keys.parquet"), os.path.join(folder, "hashes")
        hasher = KeyHasher(hashes, ["key"])
        with pq.ParquetWriter(table, pa.schema([("key", pa.string())])) as writer:
            for start in range(0, 2 * keys, _BATCH_ROWS):
                numbers = np.arange(start, min(start + _BATCH_ROWS, 2 * keys)) % keys
                batch = pa.table({"key": pa.array(numbers).cast(pa.string())})
                hasher.add(batch)
                writer.write_table(batch)
        hasher.close()
        find = _by_counter if side == "counter" else _by_arrow
        before, started = _peak(), time.perf_counter()
        rows = find(table, hashes)
        return _peak() - before, time.perf_counter() - started, rows


def _by_arrow(path: str, hashes: str) -> int:
    return find_duplicates([hashes], lambda: _tables(path))[0]


def _by_counter(path: str, hashes: str) -> int:
    repeated = {int(value) for found in repeated_hashes([hashes]) for value in found}
    counts: Counter[tuple[str]] = Counter()
    for table in _tables(path):
        mask = [int(value) in repeated for value in hash_columns(table)]
        counts.update(zip(table.filter(mask)["key"].to_pylist(), strict=True))
    return sum(count - 1 for count in counts.values())


def _tables(path: str) -> Iterator[pa.Table]:
    return (pa.Table.from_batches([batch]) for batch in pq.ParquetFile(path).iter_batches())


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
