"""Each kind of bad input gets its stated policy: an error with column, file, count and fix, or a count and no stop."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_sklearn.contract import exit_codes
from airflow_sklearn.contract.data import SourceFiles
from airflow_sklearn.contract.jobs import JobResult
from airflow_sklearn.contract.model import ModelManifest
from airflow_sklearn.exceptions import IncompleteRunError
from airflow_sklearn.runs.verify import verify
from airflow_sklearn.storage import Storage
from airflow_sklearn.worker import parity
from airflow_sklearn.worker.parity import with_sample
from tests.worker.workbench import Workbench, error_of, folder, problems_of

ROWS = 200


@pytest.fixture
def rows(table: pa.Table) -> pa.Table:
    """Rows to predict that are as they should be: without nulls where training had none."""
    return table.slice(0, ROWS).drop_columns(["y"])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, table: pa.Table) -> ModelManifest:
    """With its parity sample in the manifest, so that a test can change both at once."""
    bench = Workbench(folder(tmp_path_factory.mktemp("model")))
    return with_sample(bench.storage, bench.train(bench.write(table, "train.parquet")))


@pytest.fixture
def bench(tmp_path: Path, model: ModelManifest) -> Workbench:
    return Workbench(folder(tmp_path), model=model.model)


def predict(bench: Workbench, source: SourceFiles, **options: Any) -> JobResult:
    plan, uri = bench.plan(source, **options)
    result = bench.run_chunk(plan)
    if result.status == "failed":
        with pytest.raises(IncompleteRunError, match="nothing is published"):
            verify(bench.storage, plan, uri)
    return result


def counted(bench: Workbench, source: SourceFiles, **options: Any) -> dict[tuple[str, str | None], int]:
    """Predict in spite of problems; what was counted."""
    plan, uri = bench.plan(source, **options)
    result = bench.run_chunk(plan)
    assert result.status == "succeeded", error_of(result)
    return {(p.kind, p.column): p.count for p in verify(bench.storage, plan, uri).problems}


def replaced(table: pa.Table, name: str, values: list[Any], kind: pa.DataType | None = None) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, pa.array(values, kind))


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_all_missing_columns_are_named_at_once(bench: Workbench, rows: pa.Table, name: str) -> None:
    result = predict(bench, bench.write(rows.drop_columns(["float_1", "category_0", "key"]), name))
    assert {key for key, _ in problems_of(result).items()} == {
        ("missing_column", "float_1"),
        ("missing_column", "category_0"),
        ("missing_column", "key"),
    }
    assert name in error_of(result)
    assert "sklearn_predict (or SklearnPlanOperator) policies={'missing_columns': 'null'}" in error_of(result)


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_missing_features_can_be_read_as_null_but_a_missing_key_cannot(
    bench: Workbench, rows: pa.Table, name: str
) -> None:
    policies = {"missing_columns": "null"}
    source = bench.write(rows.drop_columns(["float_1"]), name)
    assert counted(bench, source, policies=policies)["missing_column", "float_1"] == ROWS
    result = predict(bench, bench.write(rows.drop_columns(["key"]), name), policies=policies)
    assert ("missing_column", "key") in problems_of(result)


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_extra_columns_and_another_order_change_nothing(bench: Workbench, rows: pa.Table, name: str) -> None:
    expected = bench.predict(bench.write(rows, name))
    shuffled = rows.select(sorted(rows.column_names)).append_column("news", pa.array(["x"] * ROWS))
    source = bench.write(shuffled, f"shuffled-{name}")
    assert bench.predict(source).equals(expected)
    assert ("extra_column", None) in counted(bench, source) or ("extra_column", "news") in counted(bench, source)


def test_values_that_do_not_parse_are_reported_of_all_columns_together(bench: Workbench, rows: pa.Table) -> None:
    bad = replaced(rows, "float_0", ["abc", "12,5"] + ["1.5"] * (ROWS - 2))
    bad = replaced(bad, "integer_0", ["3"] * (ROWS - 1) + ["many"])
    result = predict(bench, bench.write(bad, "x.csv"))
    assert problems_of(result) == {("wrong_type", "float_0"): 2, ("wrong_type", "integer_0"): 1}
    message = error_of(result)
    for part in ("x.csv", "'abc' at key=0", "'many' at key=199", "quarantine"):
        assert part in message


def test_values_that_do_not_parse_can_be_nulls(bench: Workbench, rows: pa.Table) -> None:
    source = bench.write(replaced(rows, "float_0", ["abc"] + ["1.5"] * (ROWS - 1)), "x.csv")
    assert counted(bench, source, policies={"wrong_types": "null"})["wrong_type", "float_0"] == 1
    assert bench.predict(source, policies={"wrong_types": "null"}).num_rows == ROWS


def test_rows_that_do_not_parse_can_be_set_aside_and_nothing_is_lost(
    bench: Workbench, rows: pa.Table, caplog: pytest.LogCaptureFixture
) -> None:
    source = bench.write(replaced(rows, "float_0", ["abc", "n/a?"] + ["1.5"] * (ROWS - 2)), "x.csv")
    plan, uri = bench.plan(source, policies={"wrong_types": "quarantine"})
    assert bench.run_chunk(plan).status == "succeeded"
    proof = verify(bench.storage, plan, uri)
    assert (proof.rows_in, proof.rows_out, proof.rows_quarantined) == (ROWS, ROWS - 2, 2)
    assert f"2 of {ROWS} rows are not predicted but set aside, with the reason of each: {proof.quarantine[0].uri}" in [
        record.getMessage() for record in caplog.records
    ]
    aside = pq.read_table(proof.quarantine[0].uri.removeprefix("file://"))
    assert aside["key"].to_pylist() == ["0", "1"]
    assert aside["float_0"].to_pylist() == ["abc", "n/a?"]
    assert "float_0" in aside["_reason"].to_pylist()[0]


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_unseen_categories_are_counted_or_refused(bench: Workbench, rows: pa.Table, name: str) -> None:
    values = rows["category_0"].to_pylist()
    source = bench.write(replaced(rows, "category_0", ["brand new", "brand new", *values[2:]]), name)
    assert counted(bench, source)["unseen_level", "category_0"] == 2
    result = predict(bench, source, policies={"unseen_levels": "error"})
    assert problems_of(result) == {("unseen_level", "category_0"): 2}
    assert "'brand new'" in error_of(result)
    assert name in error_of(result)


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_nulls_where_training_had_none_are_counted_or_refused(bench: Workbench, rows: pa.Table, name: str) -> None:
    values = rows["integer_0"].to_pylist()
    source = bench.write(replaced(rows, "integer_0", [None, None, None, *values[3:]], pa.int64()), name)
    assert counted(bench, source)["unexpected_null", "integer_0"] == 3
    result = predict(bench, source, policies={"unexpected_nulls": "error"})
    assert problems_of(result) == {("unexpected_null", "integer_0"): 3}


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_a_column_that_is_all_null_or_all_integers_reads_as_any_other(
    bench: Workbench, rows: pa.Table, name: str
) -> None:
    nulls = bench.write(replaced(rows, "float_0", [None] * ROWS, pa.null()), f"nulls-{name}")
    integers = bench.write(replaced(rows, "float_0", [2] * ROWS, pa.int64()), f"integers-{name}")
    floats = bench.write(replaced(rows, "float_0", [2.0] * ROWS), f"floats-{name}")
    assert bench.predict(nulls).num_rows == ROWS
    assert bench.predict(integers).equals(bench.predict(floats))


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
@pytest.mark.parametrize("processes", ["1", "2"])
def test_duplicate_keys_are_refused_or_counted(
    bench: Workbench, rows: pa.Table, name: str, processes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_SKLEARN_PROCESSES", processes)
    monkeypatch.setattr("airflow_sklearn.worker.prediction.predict._SLICE_BYTES", 1_000)
    keys = rows["key"].to_pylist()
    source = bench.write(replaced(rows, "key", [7, *keys[1:-1], 7]), name)
    result = predict(bench, source, output=name.rpartition(".")[2])
    assert problems_of(result) == {("duplicate_key", "key"): 2}
    assert "7 (3 times)" in error_of(result)
    assert counted(bench, source, policies={"duplicate_keys": "count"})["duplicate_key", "key"] == 2


def test_rows_without_a_key_are_refused(bench: Workbench, rows: pa.Table) -> None:
    keys = rows["key"].to_pylist()
    result = predict(bench, bench.write(replaced(rows, "key", [None, *keys[1:]], pa.int64()), "x.csv"))
    assert problems_of(result) == {("null_key", "key"): 1}


@pytest.mark.parametrize("processes", ["1", "2"])
def test_all_that_refuses_a_file_is_named_at_once_with_places_and_nothing_else_is(
    bench: Workbench, rows: pa.Table, processes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_SKLEARN_PROCESSES", processes)
    monkeypatch.setattr("airflow_sklearn.worker.prediction.predict._SLICE_BYTES", 1_000)
    keys = [str(key) for key in rows["key"].to_pylist()]
    keys[1], keys[2], keys[-1] = "x1", None, keys[5]  # type: ignore[call-overload]
    broken = replaced(rows, "key", keys, pa.string())
    floats = [str(value) for value in rows["float_0"].to_pylist()]
    broken = replaced(broken, "float_0", ["abc", *floats[1:]], pa.string())
    levels = rows["category_0"].to_pylist()
    broken = replaced(broken, "category_0", [*levels[:-1], "never seen"], pa.string())
    result = predict(bench, bench.write(broken, "x.csv"))
    assert problems_of(result) == {
        ("wrong_type", "float_0"): 1,
        ("wrong_type", "key"): 1,
        ("null_key", "key"): 1,
        ("duplicate_key", "key"): 1,
    }
    text = error_of(result)
    assert f"'abc' at key={keys[0]}" in text
    assert "'x1' at byte " in text
    assert "values that are not a whole number" in text
    assert "values that are not a number" in text
    assert f"{keys[5]} (2 times)" in text
    null_key = next(line for line in text.splitlines() if line.startswith("null_key"))
    assert "(for example at byte " in null_key


def test_a_renamed_column_is_told_what_it_may_be_called_now(bench: Workbench, rows: pa.Table) -> None:
    names = ["Category_0" if name == "category_0" else name for name in rows.column_names]
    result = predict(bench, bench.write(rows.rename_columns(names), "x.csv"))
    assert problems_of(result) == {("missing_column", "category_0"): 1}
    assert "Did you mean 'Category_0'?" in error_of(result)


def test_a_header_that_does_not_match_says_what_the_file_has(bench: Workbench, rows: pa.Table) -> None:
    renamed = rows.rename_columns([f"col {i}" for i in range(rows.num_columns)])
    message = error_of(predict(bench, bench.write(renamed, "x.csv")))
    assert "'float_0'" in message
    assert "col 0, col 1" in message


def test_a_header_that_was_not_declared_is_found(bench: Workbench, rows: pa.Table) -> None:
    bench.write(rows, "x.csv")
    source = bench.source("x.csv", header=False, column_names=tuple(rows.column_names))
    assert "header_in_data" in error_of(predict(bench, source))


@pytest.mark.parametrize("other_format", ["x.csv", "x.parquet"])
def test_what_is_no_file_of_its_format_is_refused(bench: Workbench, rows: pa.Table, other_format: str) -> None:
    found = []
    for data in (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 10, b"<!doctype html><html><body>Forbidden</body></html>"):
        found.append(error_of(predict(bench, bench.write_bytes(data, other_format))))
    assert all("not_csv" in message or "not_parquet" in message for message in found)
    assert all(other_format in message for message in found)


def test_parquet_with_the_ending_of_csv_is_recognised(bench: Workbench, rows: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink)
    assert "Parquet" in error_of(predict(bench, bench.write_bytes(sink.getvalue().to_pybytes(), "x.csv")))


def test_a_truncated_compressed_file_is_refused(bench: Workbench, rows: pa.Table) -> None:
    bench.write(rows, "x.csv")
    data = gzip.compress(bench.storage.read(f"{bench.root}/x.csv"))
    assert bench.predict(bench.write_bytes(data, "whole.csv.gz")).num_rows == ROWS
    message = error_of(predict(bench, bench.write_bytes(data[:-100], "cut.csv.gz")))
    assert "truncated_file" in message
    assert "cut.csv.gz" in message


def test_a_truncated_parquet_file_is_refused(bench: Workbench, rows: pa.Table) -> None:
    bench.write(rows, "x.parquet")
    data = bench.storage.read(f"{bench.root}/x.parquet")
    assert "cut.parquet" in error_of(predict(bench, bench.write_bytes(data[: len(data) // 2], "cut.parquet")))


def test_a_csv_file_that_ends_within_a_record_is_refused(bench: Workbench, rows: pa.Table) -> None:
    bench.write(rows, "x.csv")
    data = bench.storage.read(f"{bench.root}/x.csv")
    last = data.rstrip(b"\n").rfind(b"\n")
    message = error_of(predict(bench, bench.write_bytes(data[: last + 4], "cut.csv")))
    assert "truncated_file" in message
    assert "cut.csv" in message


def test_a_source_that_changes_after_the_plan_is_an_error_and_never_a_mixture(bench: Workbench, rows: pa.Table) -> None:
    source = bench.write(rows, "x.csv")
    plan, _ = bench.plan(source, chunks=4)
    assert bench.run_chunk(plan, 0).status == "succeeded"
    bench.write(rows.slice(0, 150), "x.csv")
    message = error_of(bench.run_chunk(plan, 1))
    assert "x.csv has changed" in message
    assert "Clear the plan task" in message


def test_an_artifact_whose_bytes_changed_is_not_unpickled(bench: Workbench, table: pa.Table, rows: pa.Table) -> None:
    model = bench.train(bench.write(table, "train.parquet"))
    data = bench.storage.read(model.artifact.uri)
    bench.storage.write(model.artifact.uri, data[:-1] + bytes([data[-1] ^ 1]))
    result = predict(bench, bench.write(rows, "x.csv"))
    assert result.error is not None
    assert result.error.kind == "environment"
    assert "It is not unpickled" in error_of(result)


def test_a_manifest_that_changed_after_the_plan_is_refused(bench: Workbench, table: pa.Table, rows: pa.Table) -> None:
    model = bench.train(bench.write(table, "train.parquet"))
    plan, _ = bench.plan(bench.write(rows, "x.csv"))
    changed = model.model_copy(update={"created_at": "2020-01-01T00:00:00+00:00"})
    bench.storage.write(plan.spec.model_manifest_uri, changed.to_json())
    assert "overwritten after the plan was made" in error_of(bench.run_chunk(plan))


def other_model(bench: Workbench, model: ModelManifest, **changes: Any) -> str:
    uri = f"{bench.root}/model/versions/other/manifest.json"
    Storage().write(uri, model.model_copy(update=changes).to_json())
    return uri


def test_other_package_versions_are_refused_all_at_once_or_let_pass(
    bench: Workbench, rows: pa.Table, model: ModelManifest
) -> None:
    versions = model.versions.model_copy(
        update={"python": "3.9.1", "packages": {**model.versions.packages, "scikit-learn": "0.24.2", "numpy": "1.19.5"}}
    )
    uri = other_model(bench, model, versions=versions)
    source = bench.write(rows, "x.csv")
    result = predict(bench, source, model=uri)
    assert result.error is not None
    assert result.error.kind == "environment"
    for part in ("Python", "3.9.1 at training", "0.24.2 at training", "1.19.5 at training", "version_mismatch='warn'"):
        assert part in error_of(result)
    assert predict(bench, source, model=uri, policies={"version_mismatch": "warn"}).status == "succeeded"


def test_a_model_that_predicts_otherwise_than_at_training_is_refused(
    bench: Workbench, rows: pa.Table, model: ModelManifest
) -> None:
    wrong = tuple(
        tuple(value * (1 + 1e-6) if isinstance(value, float) else value for value in values)
        for values in model.parity.predictions
    )
    uri = other_model(bench, model, parity=model.parity.model_copy(update={"predictions": wrong}))
    message = error_of(predict(bench, bench.write(rows, "x.csv"), model=uri))
    assert "does not predict here what it predicted at training" in message


def test_last_bits_that_differ_are_recorded_and_let_pass(
    bench: Workbench, rows: pa.Table, model: ModelManifest
) -> None:
    close = tuple(
        tuple(value * (1 + 1e-13) if isinstance(value, float) else value for value in values)
        for values in model.parity.predictions
    )
    uri = other_model(bench, model, parity=model.parity.model_copy(update={"predictions": close}))
    plan, _ = bench.plan(bench.write(rows, "x.csv"), model=uri)
    assert bench.run_chunk(plan).status == "succeeded"
    receipt = bench.receipt(plan)
    assert 0 < receipt.parity_max_relative_difference < 1e-12
    assert receipt.processor


def test_an_estimator_that_raises_is_the_users_error_with_its_text(bench: Workbench, table: pa.Table) -> None:
    source = bench.write(table, "train.parquet")
    result = bench.run(bench.train_job(source, "tests.worker.factories:slow", params={"fail_on_predict": True}))
    assert result.error is not None
    assert result.error.kind == "user"
    assert "ZeroDivisionError: the user's estimator divides by zero" in error_of(result)


def test_rows_and_keys_are_carried_as_they_are(bench: Workbench, rows: pa.Table) -> None:
    big = [2**53 + 1 + i for i in range(ROWS)]
    notes = pa.array(['a "b", c', "line\nbreak", "", "ünï", *["x"] * (ROWS - 4)])
    source_table = replaced(rows, "key", big).append_column("note", notes)
    for name in ("x.csv", "x.parquet"):
        bench.write(source_table, name)
        source = bench.source(name, newlines_in_values=True)
        found = bench.predict(source, passthrough=["note", "integer_0", "category_0"])
        assert found["key"].to_pylist() == big
        assert found["integer_0"].equals(rows["integer_0"].cast(found["integer_0"].type))
        assert found["category_0"].to_pylist() == rows["category_0"].to_pylist()
        expected = [note or None for note in notes.to_pylist()] if name == "x.csv" else notes.to_pylist()
        assert found["note"].to_pylist() == expected


def test_records_with_a_wrong_number_of_fields_can_be_set_aside(bench: Workbench, rows: pa.Table) -> None:
    bench.write(rows, "x.csv")
    data = bench.storage.read(f"{bench.root}/x.csv") + b"1,2,3\n"
    source = bench.write_bytes(data, "x.csv")
    assert problems_of(predict(bench, source))["wrong_field_count", None] == 1
    plan, uri = bench.plan(source, policies={"wrong_types": "quarantine"})
    assert bench.run_chunk(plan).status == "succeeded"
    proof = verify(bench.storage, plan, uri)
    assert (proof.rows_in, proof.rows_out, proof.rows_quarantined) == (ROWS + 1, ROWS, 1)
    aside = pq.read_table(proof.quarantine[0].uri.removeprefix("file://"))
    assert aside["_record"].to_pylist() == ["1,2,3"]


def test_infinite_values_are_refused_or_read_as_nulls(bench: Workbench, rows: pa.Table) -> None:
    values = rows["float_0"].to_pylist()
    infinite = bench.write(
        replaced(rows, "float_0", [values[0], float("inf"), -float("inf"), *values[3:]]), "x.parquet"
    )
    for policy in ("error", "quarantine"):
        result = predict(bench, infinite, policies={"wrong_types": policy})
        assert problems_of(result)["infinite_value", "float_0"] == 2
        assert "inf at key=1, -inf at key=2" in error_of(result)
        assert "x.parquet" in error_of(result)
    policies = {"wrong_types": "null"}
    assert counted(bench, infinite, policies=policies)["infinite_value", "float_0"] == 2
    nulls = bench.write(replaced(rows, "float_0", [values[0], None, None, *values[3:]]), "y.parquet")
    assert bench.predict(infinite, policies=policies).equals(bench.predict(nulls))


def test_infinite_values_that_training_had_too_are_no_news(bench: Workbench, table: pa.Table) -> None:
    source = bench.write(replaced(table, "float_0", [float("inf")] * 9 + [1.0] * (table.num_rows - 9)), "t.parquet")
    bench.train(source, "tests.worker.factories:slow", preprocessing="none")
    assert ("infinite_value", "float_0") not in counted(bench, source)


def test_noise_near_zero_does_not_refuse_a_machine(
    bench: Workbench, rows: pa.Table, model: ModelManifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = [output.method for output in model.parity.outputs].index("decision_function")
    before = list(model.parity.predictions)
    expected = before[number]
    least = 1e-6 * max(abs(value) for value in expected if isinstance(value, float))
    for noise, status in ((least * 1e-10, "succeeded"), (least * 1e-8, "failed")):
        monkeypatch.setattr(parity, "predict_outputs", lambda *_, noise=noise: ((*expected[1:], noise),))
        before[number] = (*expected[1:], 0.0)
        uri = other_model(bench, model, parity=model.parity.model_copy(update={"predictions": tuple(before)}))
        plan, _ = bench.plan(bench.write(rows, "x.csv"), model=uri, method="decision_function")
        assert bench.run_chunk(plan).status == status


def test_a_missing_module_is_the_environments_fault() -> None:
    assert exit_codes.kind_of(ModuleNotFoundError("No module named 'pyarrow'")) == "environment"


def test_a_passthrough_column_that_training_lacked_is_text_in_csv_unless_its_type_is_said(
    bench: Workbench, rows: pa.Table
) -> None:
    source = bench.write(rows.append_column("delay", pa.array([1.5] * ROWS)), "x.csv")
    assert bench.predict(source, passthrough=["delay"])["delay"].to_pylist() == ["1.5"] * ROWS
    typed = source.model_copy(update={"types": {"delay": "double"}})
    assert bench.predict(typed, passthrough=["delay"])["delay"].to_pylist() == [1.5] * ROWS
