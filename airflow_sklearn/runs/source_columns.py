"""Finding missing columns in the source's files before any chunk runs, so that not every chunk fails.

Only certain faults are reported. A file whose beginning cannot be read here is left to the worker, which explains it.
"""

from __future__ import annotations

import bz2
import codecs
import importlib.util
import io
import re
import zlib
from collections import defaultdict
from typing import TYPE_CHECKING
from urllib.parse import unquote

from airflow_sklearn.contract.faults import suggestion
from airflow_sklearn.contract.names import Names
from airflow_sklearn.exceptions import StorageError
from airflow_sklearn.runs.csv_records import delimiter_hint, first_record_end, split_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from airflow_sklearn.contract.data import CsvOptions, SourceFiles, SourceObject
    from airflow_sklearn.storage import Storage

MOST_FILES = 20
_HEAD_BYTES = 1 << 16
_LONGEST_FOOTER = 1 << 26  # bytes; a longer one is left to the worker
_NAMES_SHOWN = 20
_DATUM = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*|\d{4}-\d\d-\d\d.*")


def column_faults(
    storage: Storage,
    source: SourceFiles,
    objects: Sequence[SourceObject],
    needed: Mapping[str, str],
) -> list[str]:
    """Look for missing columns in the first file, the last one, and some between, at most ``MOST_FILES``.

    :param storage: where the files are.
    :param source: their format.
    :param objects: all files of the source, in order.
    :param needed: the needed columns, each with its purpose, such as ``passthrough``.
    :return: a sentence for each missing column.
    """
    looked = _spread(objects)
    missing: defaultdict[str, list[tuple[str, tuple[str, ...]]]] = defaultdict(list)
    count = 0
    for obj in looked:
        names = _columns(storage, source, obj)
        if names is None:
            continue
        count += 1
        known = Names(names)
        for name in needed:
            if known.find(name) is None:
                missing[name].append((obj.uri, names))
    for found in missing.values():
        for uri, names in found:
            if source.file_format == "csv" and (hint := delimiter_hint(names)):
                return [f"the header of {uri.rpartition('/')[2]} is {names[0]!r}.{hint}"]  # the cause of all others
    return [_fault(name, needed[name], missing[name], count) for name in needed if name in missing]


def _fault(name: str, role: str, files: Sequence[tuple[str, tuple[str, ...]]], count: int) -> str:
    uri, names = files[0]
    # A space at an end would not be seen.
    told = [name if name == name.strip() else repr(name) for name in names[:_NAMES_SHOWN]]
    shown = ", ".join(told) + (", ..." if len(names) > _NAMES_SHOWN else "")
    where = uri.rpartition("/")[2]
    if count > 1:
        where = f"{len(files)} of {count} files that were looked at, such as {where}"
    fix = "add or rename the column in the source (names are matched exactly)"
    fix += {
        "passthrough": ", or correct passthrough=... of sklearn_predict (or SklearnPlanOperator)",
        "feature": ", or have it read as nulls: give sklearn_predict (or SklearnPlanOperator) "
        "policies={'missing_columns': 'null'}",
    }.get(role, "")
    return f"column {name!r} ({role}) is not in {where}. It has: {shown}.{suggestion(name, names)} Fix: {fix}."


def _spread(objects: Sequence[SourceObject]) -> Iterator[SourceObject]:
    if len(objects) <= MOST_FILES:
        yield from objects
        return
    for number in range(MOST_FILES):
        yield objects[number * (len(objects) - 1) // (MOST_FILES - 1)]


def _columns(storage: Storage, source: SourceFiles, obj: SourceObject) -> tuple[str, ...] | None:
    """The columns of a file and of its folders' names (``name=value``); None if they are not certain."""
    try:
        found = _csv_columns(storage, source.csv, obj) if source.file_format == "csv" else _parquet(storage, obj)
    except StorageError:  # gone or changed since: the worker will report it
        return None
    if found is None or not source.hive_partitions:
        return found
    folders = [unquote(name) for name, equals, _ in (part.partition("=") for part in obj.uri.split("/")) if equals]
    return (*found, *folders)


def _csv_columns(storage: Storage, options: CsvOptions, obj: SourceObject) -> tuple[str, ...] | None:
    if options.column_names:
        return options.column_names
    if not options.header:
        return None
    data = storage.read(obj.uri, start=0, end=min(obj.size, _HEAD_BYTES), etag=obj.etag)
    compression = options.compression_of(obj.uri)
    try:
        if compression != "none":
            data = _DECOMPRESS[compression](data)
        # Bytes as the worker looks at them: a line feed is one.
        text = codecs.getincrementaldecoder(options.encoding)().decode(data)
    except (KeyError, OSError, EOFError, ValueError, zlib.error):
        return None
    text = text.removeprefix("\ufeff").lstrip("\r\n")
    end = first_record_end(text.encode(), options.quote if options.newlines_in_values else "", options.delimiter)
    if end is None:
        return None
    record = split_record(text.encode()[:end].decode(), options.delimiter, options.quote)
    if record is None or all(not name or _DATUM.fullmatch(name) for name in record[0]):
        return None  # no header: the worker will report it
    return tuple(record[0])


def _gunzip(data: bytes) -> bytes:
    return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(data, _HEAD_BYTES)


def _bunzip(data: bytes) -> bytes:
    return bz2.BZ2Decompressor().decompress(data, _HEAD_BYTES)


_DECOMPRESS: dict[str, Callable[[bytes], bytes]] = {"gzip": _gunzip, "bz2": _bunzip}  # zstd: left to the worker


def _parquet(storage: Storage, obj: SourceObject) -> tuple[str, ...] | None:
    """The columns in a Parquet file's footer; None if pyarrow is not installed beside Airflow."""
    if obj.size < 12 or importlib.util.find_spec("pyarrow") is None:
        return None
    import pyarrow as pa
    import pyarrow.parquet as pq

    tail = storage.read(obj.uri, start=max(0, obj.size - _HEAD_BYTES), end=obj.size, etag=obj.etag)
    length = int.from_bytes(tail[-8:-4], "little") + 8
    if tail[-4:] != b"PAR1" or length > min(obj.size, _LONGEST_FOOTER):
        return None
    if length > len(tail):
        tail = storage.read(obj.uri, start=obj.size - length, end=obj.size, etag=obj.etag)
    try:
        schema = pq.read_schema(io.BytesIO(b"PAR1" + tail[-length:]))
    except (pa.ArrowException, OSError):
        return None
    return tuple(schema.names)
