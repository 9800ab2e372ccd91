"""Rows are counted by training's bins, and the counts do not depend on how the source is cut."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from airflow_sklearn.contract import bins
from airflow_sklearn.contract.receipt import total_counts
from airflow_sklearn.contract.schema import Distribution, Feature
from airflow_sklearn.models.schema import learn_features
from airflow_sklearn.runs.verify import verify
from airflow_sklearn.worker.prediction import bin_counts
from airflow_sklearn.worker.prediction.bin_counts import EdgeCounts, LevelCounts
from tests.worker.workbench import Workbench


@pytest.mark.parametrize("compare_from", [0, 10**9], ids=["compared", "sorted"])
@pytest.mark.parametrize("edges", [[-1.0, 0.0, 0.5, 2.0], [0.0, 1.0, 7.0, 7.0]], ids=["quantiles", "values"])
def test_numbers_are_counted_as_numpys_histogram_counts_them(
    compare_from: int, edges: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bin_counts, "_COMPARE_FROM", compare_from)
    values = np.concatenate([np.random.default_rng(0).normal(size=500), edges, [np.nan, np.inf, -np.inf, 7, 8]])
    counts = EdgeCounts(edges)
    for part in (values[:1], values[1:300], values[300:300], values[300:]):
        counts.add(part)
    known = values[~np.isnan(values)]
    below, above = int((known < edges[0]).sum()), int((known > edges[-1]).sum())
    assert counts.counts == (below, *np.histogram(known, edges)[0].tolist(), above)
    assert sum(counts.counts) == len(known)


def test_rare_levels_share_the_last_bin() -> None:
    levels, counts = tuple(f"{n:03}" for n in range(100)), tuple(range(100))
    feature = Feature(
        name="x", kind="categorical", arrow_type="string", levels=levels, distribution=Distribution(counts=counts)
    )
    assert bins.training_counts(feature) == (*range(81, 100), sum(range(81)))
    found = LevelCounts(feature)
    rows = pa.chunked_array([pa.array(["099", "081", "000", "001", None, "new"]).dictionary_encode(), ["080", "new"]])
    unseen, strange = found.add(rows)
    assert found.counts == (1, *[0] * 17, 1, 3)
    assert unseen == 2
    assert strange.to_pylist() == ["new", "new"]


def test_a_value_of_a_dictionary_that_no_row_has_is_not_unseen() -> None:
    feature = Feature(name="x", kind="categorical", arrow_type="string", levels=("a",))
    rows = pa.DictionaryArray.from_arrays(pa.array([0, 0], pa.int32()), pa.array(["a", "not there"]))
    assert LevelCounts(feature).add(pa.chunked_array([rows]))[0] == 0


def test_counts_of_a_worker_that_did_not_count_make_no_sum() -> None:
    for other in ("", "1,2,3", "1,", "not counts", "1],[2", "9" * 5000 + ",1"):
        assert bins.total_packed(["1,2", other]) == ""
    assert bins.total_packed(["1,2", "3,4"]) == "4,6"


def test_a_runs_counts_do_not_depend_on_the_cut_and_equal_trainings_on_the_same_rows(bench: Workbench) -> None:
    n, random = 400, np.random.default_rng(1)
    table = pa.table(
        {
            "key": np.arange(n),
            "number": pa.array(random.normal(size=n), mask=random.random(n) < 0.1),
            "few": random.integers(0, 5, n),
            "flag": pa.array(random.random(n) > 0.3, mask=random.random(n) < 0.1),
            "when": [dt.datetime(2026, 1, 1) + dt.timedelta(hours=int(h)) for h in random.integers(0, 9999, n)],
            "level": pa.array(random.choice([f"v{i}" for i in range(60)], n), mask=random.random(n) < 0.1),
            "y": random.integers(0, 2, n),
        }
    )
    manifest = bench.train(bench.write(table, "train.parquet"), cross_validation=2)
    trained = {feature.name: bins.training_counts(feature) for feature in manifest.feature_schema.features}
    proofs = []
    for name in ("p.csv", "p.parquet"):
        for chunks in (1, 7):
            plan, uri = bench.plan(bench.write(table, name), chunks=chunks)
            for chunk in range(len(plan.chunks)):
                bench.run_chunk(plan, chunk)
            proofs.append(verify(bench.storage, plan, uri))
    for proof in proofs:
        assert {name: bins.unpacked(counts) for name, counts in proof.feature_counts.items()} == trained
        assert proof.score_counts == proofs[0].score_counts
        assert {name: sum(bins.unpacked(counts)) for name, counts in proof.score_counts.items()} == {
            "y_proba_0": n,
            "y_proba_1": n,
        }
    scores = manifest.score_distributions["y_proba_1"]
    assert sum(scores.counts) == n
    assert len(bins.unpacked(proofs[0].score_counts["y_proba_1"])) == len(bins.edge_counts(scores))
    assert learn_features(table.select(["flag"]))[0].distribution.edges == (0, 0.5, 1)
    assert total_counts([]) == {
        "sketches": {},
        "feature_counts": {},
        "score_counts": {},
        "prediction_counts": {},
    }
