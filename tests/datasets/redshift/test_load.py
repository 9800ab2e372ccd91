from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from airflow_sklearn.contract.receipt import KeyHash
from airflow_sklearn.exceptions import LoadError, PublishError
from tests.datasets.redshift.publishing import Place, hash_of, scores


def test_a_file_that_does_not_fit_is_told_with_its_column_and_the_reason(place: Place) -> None:
    wrong = place.part(pa.table({"id": pa.array([1]), "label": pa.array([2]), "score": pa.array([0.5])}))
    place.publish(place.load([9], if_exists="append", run="before"))
    with pytest.raises(LoadError) as caught:
        place.publish(place.load([1], if_exists="append", changes={"files": (wrong,)}))
    assert wrong.uri in str(caught.value)
    assert "'label'" in str(caught.value)
    assert f"{place.name}.scores is as it was" in str(caught.value)
    assert place.ids() == [9]
    assert place.leftovers() == []


def test_a_file_that_is_gone_is_told(place: Place) -> None:
    load = place.load(files=2)
    place.storage.delete([load.files[0].uri])
    with pytest.raises(LoadError, match="NoSuchKey"):
        place.publish(load)
    assert place.leftovers() == []


def test_a_failed_copy_is_told_even_when_no_load_error_table_can_be_read(place: Place) -> None:
    redshift = place.cloud.redshift
    with (
        redshift.fail("^COPY", "S3ServiceException: Access Denied"),
        redshift.fail("load_error", "permission denied", sqlstate="42501", times=2) as hidden,
        pytest.raises(LoadError, match=r"Access Denied[\s\S]*load-error tables hold nothing"),
    ):
        place.publish(place.load())
    assert hidden.fired == 2
    assert place.leftovers() == []


def test_every_file_in_the_manifest_is_mandatory_and_has_its_size(place: Place) -> None:
    load = place.load(files=3)
    with place.cloud.redshift.fail("^SELECT COUNT.*airflow_sklearn_staging", "stop here"):
        seen = _manifests(place, load)
    assert seen == [
        {
            "entries": [
                {"url": part.uri, "mandatory": True, "meta": {"content_length": part.size}} for part in load.files
            ]
        }
    ]


def _manifests(place: Place, load: Any) -> list[Any]:
    """What manifests the storage was given while a load was published."""
    written: list[Any] = []
    write = place.storage.write

    def spy(uri: str, data: bytes) -> str:
        if "/copies/" in uri:
            written.append(json.loads(data))
        return write(uri, data)

    place.storage.write = spy  # type: ignore[method-assign]
    with pytest.raises(Exception, match="stop here"):
        place.publish(load)
    return written


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": 4}, "3 rows were loaded, and the receipts say 4"),
        ({"key_hash": hash_of([(1,), (2,), (4,)])}, "the keys that were loaded have the hash"),
        ({"key_hash": KeyHash(algorithm="pandas-hash64-sum")}, "a worker of another version"),
    ],
)
def test_what_was_loaded_must_be_what_the_receipts_say(place: Place, changes: dict[str, Any], message: str) -> None:
    place.publish(place.load([9], if_exists="append", run="before"))
    with pytest.raises(PublishError, match=message):
        place.publish(place.load(if_exists="append", changes=changes))
    assert place.ids() == [9]
    assert place.leftovers() == []


def test_all_that_is_wrong_with_what_was_loaded_is_told_at_once(place: Place) -> None:
    data = pa.table({"id": pa.array([1, 1, None], pa.int64()), "label": pa.array(["a", "b", "c"])})
    load = place.load(data=data, key=(), if_exists="upsert", changes={"rows": 5, "key": ("id",)})
    with pytest.raises(PublishError) as caught:
        place.publish(load)
    for message in ("3 rows were loaded", "have the hash", "1 row with a null in the key", "1 key (id) more"):
        assert message in str(caught.value)


def test_a_load_without_a_key_is_counted_only(place: Place) -> None:
    assert place.publish(place.load([1, 1], key=())).table_rows == 2


def test_default_is_the_clusters_own_role(place: Place) -> None:
    load = place.load()
    access = load.table.access.model_copy(update={"iam_role": "default"})
    place.publish(place.load(changes={"table": load.table.model_copy(update={"access": access})}))
    [copy] = [s.sql for s in place.cloud.redshift.statements("^COPY") if place.schema in s.sql]
    assert "IAM_ROLE default FORMAT AS PARQUET MANIFEST" in copy
    assert '("id", "label", "score") FROM' in copy


def test_values_of_every_type_arrive_as_they_are(place: Place) -> None:
    data = pa.table(
        {
            "id": pa.array([2**53 + 1, -(2**63), None], pa.int64()),
            "small": pa.array([1, -1, None], pa.int16()),
            "flag": pa.array([True, False, None]),
            "text": pa.array(["", 'it\'s "a"\nb\\ é 🎉', None]),
            "amount": pa.array([Decimal("0.10"), Decimal("-99999999999999999999.99"), None], pa.decimal128(38, 2)),
            "day": pa.array([dt.date(2024, 2, 29), dt.date(1, 1, 1), None]),
            "at": pa.array([dt.datetime(2024, 2, 29, 1, 2, 3, 456789), dt.datetime(1969, 1, 1), None]),
            "real": pa.array([0.1, -0.0, None], pa.float64()),
            "single": pa.array([0.5, 1.5, None], pa.float32()),
        }
    )
    place.publish(place.load(data=data, key=()))
    names = ", ".join(f'"{name}"' for name in data.column_names)
    found = place.sql(f'SELECT {names} FROM {{s}}."scores" ORDER BY small NULLS LAST')
    expected = [tuple(row.values()) for row in data.to_pylist()]
    assert found == [expected[1], expected[0], expected[2]]


def test_texts_that_the_table_does_not_hold_are_all_named_before_anything_is_changed(place: Place) -> None:
    place.sql('CREATE TABLE {s}."scores" (id BIGINT, label VARCHAR(3), "my note" VARCHAR(4), fits VARCHAR(4))')
    data = pa.table({"id": pa.array([1]), "label": ["abcdef"], "my note": ["ééé"], "fits": ["abcd"]})
    with pytest.raises(PublishError) as caught:
        place.publish(place.load(data=data, if_exists="append"))
    assert "the column 'label' has a text of 6 bytes, and" in str(caught.value)
    assert "the column 'my note' has a text of 6 bytes, and" in str(caught.value), "é is two bytes"
    assert "'fits'" not in str(caught.value)
    assert place.ids() == []
    assert place.leftovers() == []


def test_texts_that_a_table_to_be_created_would_not_hold_are_named(place: Place) -> None:
    with pytest.raises(PublishError, match="the column 'label' has a text of 2 bytes"):
        place.publish(place.load(column_types={"label": "varchar(1)"}))


def test_leftovers_of_other_publications_stay(place: Place) -> None:
    place.sql("CREATE TABLE {s}.airflow_sklearn_staging_other_1 (a INTEGER)")
    place.publish(place.load())
    assert place.leftovers() == ["airflow_sklearn_staging_other_1"]


def test_leftovers_that_cannot_be_dropped_do_not_stop_a_publication(place: Place) -> None:
    load = place.load(scores([1])["id"].to_pylist(), if_exists="append")
    with (
        place.cloud.redshift.fail("^DROP TABLE .*airflow_sklearn_staging", "must be owner", sqlstate="42501", skip=1),
    ):
        place.publish(load)
    [left] = place.leftovers()
    with place.cloud.redshift.fail(f"^DROP TABLE .*{left}", "must be owner", sqlstate="42501"):
        assert not place.publish(place.load([1], if_exists="append", attempt="2")).published
