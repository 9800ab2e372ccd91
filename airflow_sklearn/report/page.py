"""Filling a template: the frame of a page, with its style inside, and the filters and macros of all pages."""

from __future__ import annotations

import functools
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from airflow_sklearn import __version__
from airflow_sklearn.report.formats import FILTERS


def render(template: str, **context: Any) -> str:
    """A page as a text.

    :param template: the name of a file in ``templates``. It extends ``page.html``.
    :param context: what the template shows.
    """
    return environment().get_template(template).render(context)


@functools.cache
def environment() -> Environment:
    """The environment of the templates. Text is escaped, and a name that is not there is an error."""
    found = Environment(
        loader=PackageLoader("airflow_sklearn.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters.update(FILTERS)
    found.globals["package_version"] = __version__
    return found
