"""The declared CSV dialect as options of pyarrow: delimiter, quoting and line breaks, for reading and for writing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.csv as pa_csv

from airflow_sklearn.exceptions import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_sklearn.contract.data import CsvOptions


def quote_around_records(csv: CsvOptions) -> str:
    """The quote within which a line feed does not end a record; ``""`` if every line feed ends one."""
    return csv.quote if csv.newlines_in_values else ""


def parse_options(csv: CsvOptions, on_invalid: Callable[[pa_csv.InvalidRow], str] | None = None) -> pa_csv.ParseOptions:
    """Options for reading users' files.

    :param csv: the dialect.
    :param on_invalid: called with each record with a wrong number of fields; returns ``skip`` or ``error``.
    """
    return pa_csv.ParseOptions(
        delimiter=csv.delimiter,
        quote_char=csv.quote or False,
        newlines_in_values=bool(quote_around_records(csv)),
        invalid_row_handler=on_invalid,
    )


def written_parse_options(csv: CsvOptions) -> pa_csv.ParseOptions:
    """Options for reading files that were written with ``write_options``: values may hold line breaks, declared or
    not.
    """
    return pa_csv.ParseOptions(delimiter=csv.delimiter, newlines_in_values=True)


def write_options(csv: CsvOptions) -> pa_csv.WriteOptions:
    """Options for writing, without the header.

    :raises UserError: the dialect can be read, but not written.
    """
    if csv.quote not in ('"', ""):
        raise UserError(f"CSV is written with double quotes or none, not with quote={csv.quote!r}.")
    if csv.encoding.lower().replace("_", "-") not in ("utf-8", "utf8"):
        raise UserError(f"CSV is written as UTF-8, not as {csv.encoding!r}.")
    if csv.decimal != "." or csv.thousands:
        raise UserError(
            f"CSV is written with decimal='.' and without thousands, not {csv.decimal!r}, {csv.thousands!r}."
        )
    if not csv.delimiter.isascii():
        raise UserError(f"The CSV delimiter {csv.delimiter!r} is not an ASCII character.")
    return pa_csv.WriteOptions(
        include_header=False,
        delimiter=csv.delimiter,
        quoting_style="needed" if csv.quote else "none",
        batch_size=1 << 14,
    )
