"""Settings of Sphinx for the documentation's site: ``make docs``. The built site asks nothing of the network."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from airflow_sklearn import __version__
from docs.site_pages import read_page

project = "airflow-sklearn"
author = "The maintainers of airflow-sklearn"
project_copyright = author
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]

myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence", "deflist"]

autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True
add_module_names = False
autodoc_preserve_defaults = True
toc_object_entries = False

html_theme = "pydata_sphinx_theme"
html_title = "airflow-sklearn"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "_static/favicon.svg"
# Pages without pages below them have no menu at their left.
html_sidebars: dict[str, list[str]] = {
    page: [] for page in ("index", "tutorial", "architecture", "benchmarks", "proven", "changelog", "contributing")
}
html_show_sourcelink = False
html_copy_source = False
html_theme_options: dict[str, Any] = {
    "logo": {"text": "airflow-sklearn", "image_light": "_static/favicon.svg", "image_dark": "_static/favicon.svg"},
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "header_links_before_dropdown": 6,
    "show_toc_level": 2,
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}


def setup(app: Any) -> None:
    """Pages that are files of the repository, and sections that are made from code, are read as they are now."""
    app.connect("source-read", read_page)
