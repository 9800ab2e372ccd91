"""The client for notebooks and scripts, without Airflow: train, register, predict, load a model, replay a chunk.

The worker is the same, and so are the documents: what the client makes, a DAG can use, and the other way round. Rows
may be files, as for the operators, or a DataFrame or a pyarrow Table::

    from airflow_sklearn import client

    model = client.train("sparse_logistic", frame, target="churned", primary_key="id", model="models/churn")
    scores = model.predict(new_rows)
"""

from __future__ import annotations

from airflow_sklearn.client.comparing import leaderboard
from airflow_sklearn.client.making import register, train
from airflow_sklearn.client.model import Model, load
from airflow_sklearn.client.replaying import Replay, replay
from airflow_sklearn.client.scoring import predict

__all__ = ["Model", "Replay", "leaderboard", "load", "predict", "register", "replay", "train"]
