"""What Airflow's ``apache_airflow_provider`` entry point returns. Every Airflow process calls it: it is quick."""

from __future__ import annotations

from typing import Any

from airflow_sklearn.settings import OPTIONS


def get_provider_info() -> dict[str, Any]:
    """The provider's description for Airflow: name, versions, configuration options, links."""
    return {
        "package-name": "airflow-sklearn",
        "name": "scikit-learn",
        "description": "Train scikit-learn models, and predict tables of any size, in containers or local processes.",
        "integrations": [{"integration-name": "scikit-learn", "tags": ["software"]}],
        "operators": [
            {
                "integration-name": "scikit-learn",
                "python-modules": [
                    "airflow_sklearn.operators.train",
                    "airflow_sklearn.operators.compare",
                    "airflow_sklearn.operators.plan",
                    "airflow_sklearn.operators.predict",
                    "airflow_sklearn.operators.commit",
                    "airflow_sklearn.operators.reap",
                ],
            }
        ],
        "triggers": [{"integration-name": "scikit-learn", "python-modules": ["airflow_sklearn.triggers.job"]}],
        "config": {"airflow_sklearn": {"description": "Settings of airflow-sklearn.", "options": OPTIONS}},
        "extra-links": [
            "airflow_sklearn.operators.links.ModelPageLink",
            "airflow_sklearn.operators.links.ComparePageLink",
            "airflow_sklearn.operators.links.ModelManifestLink",
            "airflow_sklearn.operators.links.RunLedgerLink",
            "airflow_sklearn.operators.links.RunPageLink",
            "airflow_sklearn.operators.links.PublishedDataLink",
            "airflow_sklearn.operators.links.JobLink",
            "airflow_sklearn.operators.links.JobLogLink",
        ],
    }
