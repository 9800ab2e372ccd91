"""All settings that this package reads from Airflow's configuration: ``[airflow_sklearn]``, and a few of Airflow's
own.

Airflow shows ``OPTIONS`` in its configuration reference. Nothing is imported before a setting is read.
"""

from __future__ import annotations

from typing import Any

OPTIONS: dict[str, dict[str, Any]] = {
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
    "skops_trusted_types": {
        "description": "The types that a model in the format skops may contain, with commas between, beside "
        "those that skops itself trusts and this package's own. A model with another type is not loaded.",
        "version_added": "0.2.0",
        "type": "string",
        "example": "sklearn.tree._tree.Tree,sklearn._loss.link.LogitLink",
        "default": "",
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
}
_SECTION = "airflow_sklearn"


def text(option: str) -> str:
    """The value of a setting.

    :param option: a key of ``OPTIONS``.
    :return: the configured value, or the option's default.
    """
    return str(_conf().get(_SECTION, option, fallback=OPTIONS[option]["default"]))


def names(option: str) -> tuple[str, ...]:
    """The values of a setting that is a list of names.

    :param option: a key of ``OPTIONS``.
    """
    return tuple(name for part in text(option).split(",") if (name := part.strip()))


def flag(option: str) -> bool:
    """The value of a setting that is True or False.

    :param option: a key of ``OPTIONS``.
    """
    return bool(_conf().getboolean(_SECTION, option, fallback=OPTIONS[option]["default"] == "True"))


def longest_mapping() -> int:
    """The most task instances into which a task may be expanded: Airflow's ``[core] max_map_length``."""
    return int(_conf().getint("core", "max_map_length", fallback=1024))


def _conf() -> Any:
    from airflow_sklearn.airflow_compat import conf

    return conf
