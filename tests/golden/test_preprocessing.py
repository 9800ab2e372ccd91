"""Preprocessors in artifacts of earlier versions."""

from __future__ import annotations

from pathlib import Path

import joblib
import pyarrow as pa
import pytest

from airflow_sklearn.models.preprocessing import TablePreprocessor

HERE = Path(__file__).parent


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.InconsistentVersionWarning")
@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
def test_preprocessors_of_earlier_versions_have_all_that_this_one_needs(version: str) -> None:
    pipeline = joblib.load(HERE / version / "artifact.joblib")
    preprocessor = pipeline.steps[0][1]
    assert isinstance(preprocessor, TablePreprocessor)
    assert preprocessor.get_params().keys() == TablePreprocessor().get_params().keys()
    columns = {
        name: pa.nulls(2, pa.float64() if kind == "numeric" else pa.large_string())
        for name, kind in zip(preprocessor.feature_names_in_, preprocessor.kinds_, strict=True)
    }
    width = len(preprocessor.get_feature_names_out())
    assert preprocessor.transform(pa.table(columns)).shape == (2, width)
