"""What the backfill left behind, read from its documents and checked against the source files."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pandas as pd
from sklearn.metrics import roc_auc_score

from airflow_sklearn.contract.model import ModelManifest, ModelPointer
from airflow_sklearn.contract.proof import Proof
from airflow_sklearn.datasets.publish_files import read_published
from airflow_sklearn.runs.ledger import Ledger, read_plan
from airflow_sklearn.storage import Storage
from demo import settings

HEADER = ("month", "rows", "chunks", "computed now", "rows/s", "AUC", "complete")


@dataclass(frozen=True)
class Month:
    """One backfilled month."""

    name: str
    rows: int
    chunks: int
    computed_now: int
    rows_per_second: float
    auc: float
    complete: bool
    """Every flight of the source has one prediction, and nothing else has."""
    proof: Path

    def cells(self) -> tuple[str, ...]:
        return (
            self.name,
            f"{self.rows:,}",
            f"{self.chunks}",
            f"{self.computed_now}",
            f"{self.rows_per_second:,.0f}",
            f"{self.auc:.3f}",
            "every row once" if self.complete else "NO",
        )


def receipts() -> set[Path]:
    """The receipts of all chunks that were ever computed here. One that appears stands for one chunk computed."""
    return set(settings.PREDICTIONS.rglob("receipts/*.json"))


def models() -> set[Path]:
    """The manifests of all versions that were ever trained here."""
    return set(settings.MODEL.glob("versions/*/manifest.json"))


def newest_model() -> ModelManifest:
    pointer = ModelPointer.from_json((settings.MODEL / "latest.json").read_bytes())
    return ModelManifest.from_json(path_of(pointer.manifest_uri).read_bytes())


def read_month(name: str, receipts_before: set[Path]) -> Month:
    """Read one month's proof, receipts and predictions.

    :param receipts_before: those that were there before the run: their chunks were not computed now.
    """
    storage = Storage()
    published = read_published(storage, f"{settings.PREDICTIONS.as_uri()}/{name}")
    if published is None:
        raise FileNotFoundError(f"nothing is published for {name} in {settings.PREDICTIONS}")
    proof = Proof.from_json(storage.read(published.proof_uri), where=published.proof_uri)
    plan = read_plan(storage, proof.plan_uri)
    ledger = Ledger(storage, plan.ledger)
    found = ledger.read_receipts(plan).values()
    computed_now = {path_of(ledger.receipt_uri(receipt.chunk_id)) for receipt in found} - receipts_before
    predictions = pd.concat([pd.read_parquet(path_of(part.uri)) for part in published.files])
    seconds = sum(receipt.timings.wall - receipt.timings.start_up for receipt in found)
    return Month(
        name=name,
        rows=proof.rows_out,
        chunks=proof.chunks,
        computed_now=len(computed_now),
        rows_per_second=proof.rows_out / seconds,
        auc=held_out_auc(predictions),
        complete=_every_row_once(name, predictions) and proof.rows_in == proof.rows_out == len(predictions),
        proof=path_of(published.proof_uri),
    )


def held_out_auc(predictions: pd.DataFrame) -> float:
    """How well the predictions order the flights that arrived: 0.5 is chance, 1 is perfect."""
    arrived = predictions[predictions.late.notna()]
    return float(roc_auc_score(arrived.late.astype(bool), arrived.late_proba_true))


def table(months: Iterable[Month]) -> str:
    """The months as text, with the sums below."""
    months = list(months)
    total = (
        "all",
        f"{sum(month.rows for month in months):,}",
        f"{sum(month.chunks for month in months)}",
        f"{sum(month.computed_now for month in months)}",
        f"{statistics.mean(month.rows_per_second for month in months):,.0f}",
        f"{statistics.mean(month.auc for month in months):.3f}",
        "every row once" if all(month.complete for month in months) else "NO",
    )
    rows = [HEADER, *(month.cells() for month in months), total]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    rule = "  ".join("-" * width for width in widths)
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def path_of(uri: str) -> Path:
    return Path(unquote(urlsplit(uri).path))


def _every_row_once(month: str, predictions: pd.DataFrame) -> bool:
    source: Any = pd.read_csv(settings.CSV_FOLDER / f"{month}.csv", usecols=["flight_id"]).flight_id
    return sorted(predictions.flight_id) == sorted(source)
