"""Sources and destinations that are files: ``file://`` or ``s3://`` URIs, in CSV or Parquet."""

from __future__ import annotations

import codecs
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from airflow_sklearn.contract.document import Later, Value

FileFormat = Literal["csv", "parquet"]
Compression = Literal["infer", "none", "gzip", "zstd", "bz2"]

#: The texts that pandas reads as null (``pandas._libs.parsers.STR_NA_VALUES``, the same from 2.0 to 3.0).
NULL_SPELLINGS = (
    "",
    "#N/A",
    "#N/A N/A",
    "#NA",
    "-1.#IND",
    "-1.#QNAN",
    "-NaN",
    "-nan",
    "1.#IND",
    "1.#QNAN",
    "<NA>",
    "N/A",
    "NA",
    "NULL",
    "NaN",
    "None",
    "n/a",
    "nan",
    "null",
)
#: The texts that version 0.1.0 read as null in every column. It stored them in every document.
NULL_VALUES_0_1_0 = ("", "NULL", "null", "NA", "N/A", "NaN", "nan", "None")

_COMPRESSION_BY_ENDING = {".gz": "gzip", ".zst": "zstd", ".zstd": "zstd", ".bz2": "bz2"}


class CsvOptions(Value):
    """The dialect of CSV files. The user declares it; it is never guessed from a file."""

    delimiter: str = Field(default=",", min_length=1, max_length=1)
    quote: str = Field(default='"', max_length=1)
    """The quote character; an empty string: values are never quoted."""
    header: bool = True
    column_names: tuple[str, ...] = ()
    """The names in file order; required when ``header`` is false."""
    compression: Compression = "infer"
    """``infer`` goes by the ending of each file: .gz, .zst, .bz2."""
    newlines_in_values: bool = False
    """Whether quoted values may hold line breaks. If so, files are cut only at the ends of records."""
    null_values: tuple[str, ...] | None = None
    """The texts that are null, in every column. None: by the kind of column, see ``worker.data.csv.values``."""
    encoding: str = "utf-8"
    decimal: Annotated[str, Later()] = "."
    """The decimal point."""
    thousands: Annotated[str, Later()] = ""
    """The separator between groups of digits; an empty string: none."""

    @model_validator(mode="after")
    def _check_numbers(self) -> Self:
        if len(self.decimal) != 1 or not self.decimal.isascii() or _is_of_a_number(self.decimal):
            raise ValueError(f"decimal={self.decimal!r} is not the one character before a fraction, such as ','")
        if self.thousands and (len(self.thousands) != 1 or _is_of_a_number(self.thousands)):
            raise ValueError(f"thousands={self.thousands!r} is not one character between digits, such as '.' or ' '")
        if self.thousands == self.decimal:
            raise ValueError(f"decimal and thousands are both {self.decimal!r}: no number could be read")
        return self

    @field_validator("encoding")
    @classmethod
    def _check_encoding(cls, name: str) -> str:
        try:
            "\n".encode(name)
        except LookupError as error:
            raise ValueError(f"{name!r} is no text encoding that Python knows ({error})") from None
        return name

    def compression_of(self, uri: str) -> str:
        """The compression of one file: ``none``, ``gzip``, ``zstd`` or ``bz2``."""
        if self.compression != "infer":
            return self.compression
        return next((name for ending, name in _COMPRESSION_BY_ENDING.items() if uri.endswith(ending)), "none")

    def has_plain_line_feeds(self) -> bool:
        """Whether line feeds and quotes are always single ASCII bytes, so that bytes can be searched for them."""
        name = codecs.lookup(self.encoding).name
        return "\n".encode(name) == b"\n" and not name.startswith(("iso2022", "hz", "utf-7"))


def _is_of_a_number(character: str) -> bool:
    """Whether a character may be part of a number, or cannot be part of a value in a CSV file."""
    return character.isalnum() or character in '+-\r\n"\0'


class SourceFiles(Value):
    """Files that are read as one table.

    ``uris`` are objects, globs (``*``, ``?``, ``[]``, ``**``) or prefixes that end in ``/``.
    """

    kind: ClassVar[str] = "files"

    uris: tuple[str, ...]
    file_format: FileFormat
    csv: CsvOptions = CsvOptions()
    hive_partitions: bool = False
    """Folders named ``column=value`` become columns of every row below them."""
    types: dict[str, str] = {}
    """Arrow types by column name (``{"zip": "string"}``). For training: instead of what would be inferred. For
    prediction: of passthrough columns, instead of training's; features and keys are read as training had them."""

    manifest: Annotated[bool, Later()] = False
    """Whether the URIs are manifests of UNLOAD, which name the files. Jobs and plans have the files themselves."""

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        if self.file_format == "csv" and not self.csv.header and not self.csv.column_names:
            raise ValueError("header=False needs column_names: the names of all columns, in file order")
        return self

    def for_model_of(self, training: SourceFiles) -> SourceFiles:
        """These files as a model must read them.

        A model of version 0.1.0 used one set of null spellings, in training and in prediction.

        :param training: the files that the model was trained on.
        """
        if self.csv.null_values is not None or training.csv.null_values != NULL_VALUES_0_1_0:
            return self
        return self.model_copy(update={"csv": self.csv.model_copy(update={"null_values": NULL_VALUES_0_1_0})})

    def is_splittable(self, uri: str) -> bool:
        """Whether a file can be cut into ranges that are read independently. A file that is compressed as a whole
        cannot.
        """
        if self.file_format == "parquet":
            return True
        return self.csv.compression_of(uri) == "none" and self.csv.has_plain_line_feeds()


class SourceObject(Value):
    """One version of one stored object."""

    uri: str
    etag: str
    size: int = Field(ge=0)
    """The size in bytes."""


class OutputFiles(Value):
    """Files that a run writes. The folder ``uri``/``partition`` holds one partition's rows."""

    kind: ClassVar[str] = "files"

    uri: str
    file_format: FileFormat = "parquet"
    csv: CsvOptions = CsvOptions()
    if_exists: Literal["replace", "fail"] = "replace"
    """What happens if the partition was published before."""

    @property
    def ledger_root(self) -> str:
        """The default folder for ledgers of runs into this destination."""
        return self.uri

    @property
    def part_format(self) -> FileFormat:
        """The format of the parts that workers write."""
        return self.file_format

    @property
    def part_csv(self) -> CsvOptions:
        """The dialect of the parts, if they are CSV."""
        return self.csv
