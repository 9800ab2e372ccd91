"""The columns of CSV files, and their types from all values of all files."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import pyarrow as pa

from airflow_sklearn.contract.names import Names
from airflow_sklearn.contract.plan import Piece
from airflow_sklearn.exceptions import DataError
from airflow_sklearn.worker.data.columns import ReadColumn, is_index_name
from airflow_sklearn.worker.data.csv.guess import ColumnGuess
from airflow_sklearn.worker.data.csv.head import read_head
from airflow_sklearn.worker.data.csv.source import CsvPieceReader
from airflow_sklearn.worker.data.csv.values import Numerals
from airflow_sklearn.worker.data.reader import ReadRequest

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from airflow_sklearn.contract.data import SourceFiles, SourceObject
    from airflow_sklearn.contract.problem_collector import ProblemCollector
    from airflow_sklearn.storage import Storage


def guess_columns(
    storage: Storage,
    files: SourceFiles,
    objects: Sequence[SourceObject],
    exclude: Collection[str],
    named: Collection[str],
    problems: ProblemCollector,
) -> dict[str, ColumnGuess]:
    """The type of each column of a source, in the order of the first file.

    A column without a name, or with the name that pandas gives to one, is left out with a warning: it numbers the rows.
    Names that differ only in the Unicode composition of their letters are the same name.

    :param storage: where the files are.
    :param files: how they are written.
    :param objects: the source.
    :param exclude: columns not to read.
    :param named: columns that the user has named, which are read whatever their name is.
    :param problems: collects all faults of the files.
    """
    numerals = Numerals(files.csv.decimal, files.csv.thousands)
    guesses: dict[str, ColumnGuess] = {}
    known = Names((*named, *files.types, *exclude))
    left_out: dict[str, None] = {}
    for obj in objects:
        head = read_head(storage, files, obj)
        problems.merge(head.problems)
        names = []
        for spelled in head.names:
            name = known.find(spelled)
            if name is None and is_index_name(spelled):
                left_out[spelled] = None
                continue
            names.append(spelled if name is None else name)
            known.add(names[-1])
        _check_look_alikes(head.names, obj.uri, problems)
        for name in names:
            guesses.setdefault(name, ColumnGuess(numerals))
        wanted = [name for name in names if name not in exclude and name not in files.types]
        columns = [ReadColumn(name, pa.string()) for name in dict.fromkeys(wanted)]
        if head.problems:
            continue
        request = ReadRequest(
            storage,
            files,
            Piece(object=obj, start=0, end=obj.size),
            columns,
            wrong_types="error",
            problems=problems,
            ignored=frozenset((*exclude, *files.types)),
            for_training=True,
        )
        try:
            for block in CsvPieceReader(request):
                for column in columns:
                    guesses[column.name].add(block[column.name].combine_chunks())
        except DataError:
            continue  # the file's problems are collected
    for name in left_out:
        _warn_of_index(name)
    return guesses


def _check_look_alikes(names: Sequence[str], file: str, problems: ProblemCollector) -> None:
    """Check that no two names of a file look the same. Equal names are found when the file is read."""
    seen: Names = Names(())
    for name in names:
        other = seen.find(name)
        if other is not None and other != name:
            problems.add(
                "duplicate_column",
                f"two columns have names that look the same: {other!a}, {name!a}",
                column=name,
                file=file,
                fix="rename one of them.",
            )
        seen.add(name)


def _warn_of_index(name: str) -> None:
    which = f"The column {name!r}" if name.strip() else "A column without a name"
    warnings.warn(
        f"{which} is not learned from: it looks like the index of a pandas DataFrame (to_csv without index=False). "
        "Fix: write the files without it; if it means something, give it a name.",
        stacklevel=2,
    )
