from __future__ import annotations

from typing import Any

import pytest

from airflow_sklearn.contract.data import NULL_SPELLINGS, NULL_VALUES_0_1_0, CsvOptions, OutputFiles, SourceFiles
from airflow_sklearn.contract.jobs import JobIdentity
from airflow_sklearn.datasets.base import Attempt, WantedColumns
from airflow_sklearn.datasets.files import Dataset
from airflow_sklearn.datasets.registry import as_destination, as_source
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.operators.base import own_copy
from airflow_sklearn.storage import Storage


@pytest.mark.parametrize(
    ("uri", "file_format"),
    [
        ("s3://b/t.csv", "csv"),
        ("s3://b/t.CSV.GZ", "csv"),
        ("s3://b/*.csv.zst", "csv"),
        ("s3://b/t.tsv.bz2", "csv"),
        ("s3://b/year=*/*.parquet", "parquet"),
        ("s3://b/t.pq", "parquet"),
    ],
)
def test_the_format_goes_by_the_ending(uri: str, file_format: str) -> None:
    assert Dataset(uri).to_source().file_format == file_format


@pytest.mark.parametrize("uri", ["s3://b/folder/", "s3://b/t.xlsx", ["s3://b/t.csv", "s3://b/t.parquet"]])
def test_a_format_that_is_not_clear_must_be_said(uri: Any) -> None:
    with pytest.raises(UserError, match="file_format"):
        Dataset(uri).to_source()
    assert Dataset(uri, file_format="csv").to_source().file_format == "csv"


def test_local_paths_become_uris_and_relative_ones_are_refused() -> None:
    assert Dataset(["/data/a.csv", "file:///data/b.csv"]).to_source().uris == (
        "file:///data/a.csv",
        "file:///data/b.csv",
    )
    with pytest.raises(UserError, match="relative"):
        Dataset("data/a.csv").to_source()


def test_csv_options_are_passed_on() -> None:
    source = Dataset("/t.csv", delimiter=";", quote="", header=False, column_names=["a", "b"], types={"a": "string"})
    files = source.to_source()
    assert (files.csv.delimiter, files.csv.quote, files.csv.header) == (";", "", False)
    assert files.csv.column_names == ("a", "b")
    assert files.types == {"a": "string"}


def test_all_that_is_wrong_is_named() -> None:
    with pytest.raises(UserError, match=r"delimiter.*compression"):
        Dataset("/t.csv", delimiter=";;", compression="rar").to_source()


def test_a_destination_is_one_folder_of_parquet_by_default() -> None:
    assert as_destination("s3://b/scores/").document == OutputFiles(uri="s3://b/scores", file_format="parquet")
    assert as_destination(Dataset("/scores", file_format="csv", if_exists="fail")).document.if_exists == "fail"
    with pytest.raises(UserError, match="one folder"):
        as_destination(Dataset(["s3://a", "s3://b"]))


@pytest.mark.parametrize(
    "value", ["/t.csv", ["/t.csv"], {"uri": "/t.csv"}, Dataset("/t.csv")], ids=["uri", "list", "dict", "dataset"]
)
def test_a_source_is_given_in_any_plain_way(value: Any) -> None:
    resolved = as_source(value).resolve(Attempt(Storage(), JobIdentity()), WantedColumns({}))
    assert resolved.files == SourceFiles(uris=("file:///t.csv",), file_format="csv")


@pytest.mark.parametrize(
    ("value", "message"),
    [(5, "is a number"), ({"url": "/t.csv"}, "no argument 'url'. Did you mean 'uri'"), ([], "empty")],
)
def test_other_sources_are_refused(value: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        as_source(value)


def test_its_repr_is_short_and_the_same_whenever_it_is_the_same() -> None:
    assert repr(Dataset("/t.csv")) == "Dataset(uri='/t.csv')"
    assert repr(Dataset("/t.csv", delimiter=";")) == "Dataset(uri='/t.csv', delimiter=';')"
    assert Dataset("/t.csv") == Dataset("/t.csv")


def test_csv_without_a_header_needs_names() -> None:
    with pytest.raises(UserError, match="header=False needs column_names"):
        Dataset("/data/x.csv", header=False).to_source()


def test_options_that_a_template_would_change_are_not_rendered() -> None:
    assert not {"null_values", "delimiter", "quote"} & set(Dataset.template_fields)


@pytest.mark.parametrize(
    "options",
    [
        {"decimal": ""},
        {"decimal": ".."},
        {"decimal": "5"},
        {"decimal": "é"},
        {"thousands": "00"},
        {"thousands": "-"},
        {"thousands": "."},
        {"decimal": ",", "thousands": ","},
    ],
)
def test_characters_that_are_no_part_of_a_number_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(UserError, match=r"decimal|thousands"):
        Dataset("/data/x.csv", **options).to_source()


def test_null_spellings_are_those_of_pandas() -> None:
    parsers = pytest.importorskip("pandas._libs.parsers")
    assert set(NULL_SPELLINGS) == parsers.STR_NA_VALUES


def test_a_model_of_0_1_0_reads_nulls_as_it_did_unless_told_otherwise() -> None:
    def csv(null_values: tuple[str, ...] | None) -> SourceFiles:
        return SourceFiles(uris=("file:///x.csv",), file_format="csv", csv=CsvOptions(null_values=null_values))

    for new, training, expected in (
        (None, NULL_VALUES_0_1_0, NULL_VALUES_0_1_0),
        (("-",), NULL_VALUES_0_1_0, ("-",)),
        (None, ("-",), None),
        (None, None, None),
    ):
        assert csv(new).for_model_of(csv(training)).csv.null_values == expected


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        ("s3://my_connection@bucket/folder/x.csv", "s3://bucket/folder/x.csv"),
        ("s3://bucket/folder/*.csv", "s3://bucket/folder/*.csv"),
        ("file:///data/x.csv", "file:///data/x.csv"),
    ],
)
def test_a_path_of_airflow_is_a_source(path: str, uri: str) -> None:
    try:
        from airflow.sdk import ObjectStoragePath
    except ImportError:  # Airflow 2
        from airflow.io.path import ObjectStoragePath
    found = ObjectStoragePath(path)
    assert Dataset(found).to_source().uris == (uri,)
    assert own_copy(found) == uri
    assert own_copy([found, "s3://b/y.csv"]) == [uri, "s3://b/y.csv"]
