"""What Airflow's ``apache_airflow_provider`` entry point returns. Every Airflow process calls it: import nothing."""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
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
                    "airflow_sklearn.operators.plan",
                    "airflow_sklearn.operators.predict",
                    "airflow_sklearn.operators.commit",
                    "airflow_sklearn.operators.reap",
                ],
            }
        ],
        "triggers": [{"integration-name": "scikit-learn", "python-modules": ["airflow_sklearn.triggers.job"]}],
        "config": {
            "airflow_sklearn": {
                "description": "Settings of airflow-sklearn.",
                "options": {
                    "local_files_url": {
                        "description": "The URL, or the path of Airflow's own address, at which absolute paths of "
                        "local files begin in links that the UI shows: http://, https://, file:// or a path. Empty: "
                        "local files have no links.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "/local-files",
                        "default": "",
                    },
                    "show_values": {
                        "description": "Whether messages, logs, XComs, results and receipts may have values of rows in "
                        "them, such as primary keys that occur twice. False: problems say what, where and how many.",
                        "version_added": "0.2.0",
                        "type": "boolean",
                        "example": "False",
                        "default": "True",
                    },
                    "redshift_staging": {
                        "description": "A folder in S3 for what goes between Redshift and the containers: unloaded "
                        "rows, ledgers, COPY's manifests. Where a RedshiftTable or RedshiftQuery names none.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "s3://acme/airflow-sklearn",
                        "default": "",
                    },
                    "redshift_iam_role": {
                        "description": "For UNLOAD and COPY: default, a role's ARN, or several with commas between.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "arn:aws:iam::123456789012:role/redshift",
                        "default": "default",
                    },
                },
            }
        },
        "extra-links": [
            "airflow_sklearn.operators.links.ModelManifestLink",
            "airflow_sklearn.operators.links.RunLedgerLink",
            "airflow_sklearn.operators.links.PublishedDataLink",
            "airflow_sklearn.operators.links.JobLink",
            "airflow_sklearn.operators.links.JobLogLink",
        ],
    }
