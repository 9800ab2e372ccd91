"""Free text as numbers: counts of hashed words, for which nothing is learned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from scipy import sparse as sp
from sklearn.feature_extraction.text import HashingVectorizer

from airflow_sklearn.models.columns import ArrowColumn, contiguous, decoded

if TYPE_CHECKING:
    from collections.abc import Iterable


def word_counts(columns: Iterable[ArrowColumn], width: int) -> list[sp.csr_matrix]:
    """Signed counts of words by hash, each row scaled to length 1 (``HashingVectorizer``). Nulls give zeros.

    :param columns: columns of strings.
    :param width: the number of hash values.
    :return: for each column a matrix of shape (rows, width).
    """
    hashing = HashingVectorizer(n_features=width, dtype=np.float64)
    found = []
    for column in columns:
        encoded = contiguous(decoded(column).cast(pa.large_string())).dictionary_encode()
        texts = [*encoded.dictionary.to_pylist(), ""]  # the last one is for nulls
        place = encoded.indices.cast(pa.int64()).fill_null(len(texts) - 1).to_numpy()
        found.append(sp.csr_matrix(hashing.transform(texts))[place])
    return found
