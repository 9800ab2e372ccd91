"""The loop that everybody writes first: ``python -m benchmarks.naive MANIFEST_URI FILE``."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator

import joblib
import pandas as pd
import pyarrow.parquet as pq

from airflow_sklearn.contract.model import ModelManifest
from airflow_sklearn.storage import Storage

_CHUNK_ROWS = 100_000


def main(manifest_uri: str, path: str) -> None:
    manifest = ModelManifest.from_json(Storage().read(manifest_uri))
    estimator = joblib.load(manifest.artifact.uri.removeprefix("file://"))
    features = list(manifest.feature_schema.feature_names)
    names = [output.name for output in manifest.parity.outputs if output.method == "predict_proba"]
    with tempfile.TemporaryDirectory() as folder:
        for number, frame in enumerate(_frames(path)):
            predicted = pd.DataFrame(estimator.predict_proba(frame[features]), columns=names)
            predicted.insert(0, "key", frame["key"].to_numpy())
            predicted.to_csv(os.path.join(folder, "out.csv"), mode="a", header=number == 0, index=False)


def _frames(path: str) -> Iterator[pd.DataFrame]:
    if path.endswith(".csv"):
        yield from pd.read_csv(path, chunksize=_CHUNK_ROWS)
    else:
        for batch in pq.ParquetFile(path).iter_batches(_CHUNK_ROWS):
            yield batch.to_pandas()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
