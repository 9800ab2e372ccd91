"""What Airflow's ``apache_airflow_provider`` entry point returns. Every Airflow process calls it: import nothing."""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    return {
        "package-name": "airflow-sklearn",
        "name": "scikit-learn",
        "description": "Train scikit-learn models, and predict tables of any size, in containers or local processes.",
        "integrations": [
            {
                "integration-name": "scikit-learn",
                "external-doc-url": "https://scikit-learn.org/",
                "tags": ["software"],
            }
        ],
        "operators": [
            {
                "integration-name": "scikit-learn",
                "python-modules": [
                    "airflow_sklearn.operators.train",
                    "airflow_sklearn.operators.plan",
                    "airflow_sklearn.operators.predict",
                    "airflow_sklearn.operators.commit",
                ],
            }
        ],
        "triggers": [{"integration-name": "scikit-learn", "python-modules": ["airflow_sklearn.triggers"]}],
        "config": {
            "airflow_sklearn": {
                "description": "Settings of airflow-sklearn.",
                "options": {
                    "local_files_url": {
                        "description": "Where the absolute paths of local files begin in links that the UI shows.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "/local-files",
                        "default": "file://",
                    }
                },
            }
        },
        "extra-links": [
            "airflow_sklearn.links.ModelManifestLink",
            "airflow_sklearn.links.RunLedgerLink",
            "airflow_sklearn.links.PublishedDataLink",
            "airflow_sklearn.links.JobLink",
            "airflow_sklearn.links.JobLogLink",
        ],
    }
