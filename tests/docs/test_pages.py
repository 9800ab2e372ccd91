"""Pages for people, without Sphinx: links lead somewhere, README is short, the first DAG is the tutorial's."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from airflow_sklearn.settings import OPTIONS
from docs.site_pages import SECTIONS, SHOWN, read_page

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)])
_FENCE = re.compile(r"^(```+).*?^\1$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def text_of(page: Path) -> str:
    """A page without its code. Pages of the site that show a file of the repository are that file."""
    return _FENCE.sub("", page.read_text())


def headings(page: Path) -> set[str]:
    """The anchors of a page, as GitHub and MyST make them."""
    shown = SHOWN.get(str(page.relative_to(DOCS).with_suffix(""))) if page.is_relative_to(DOCS) else None
    found = re.findall(r"^#+ (.+)$", text_of(ROOT / shown if shown else page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading_that_are_there(page: Path) -> None:
    missing = []
    for link in _LINK.findall(text_of(page)):
        place, _, heading = link.partition("#")
        if re.match("[a-z]+:", link):
            continue
        target = (page.parent / place).resolve() if place else page
        made_from_code = target.parent == DOCS / "reference"
        if not target.exists() or (heading and not made_from_code and heading not in headings(target)):
            missing.append(link)
    assert not missing


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_the_first_dag_of_the_readme_is_the_tutorial_s() -> None:
    """The tutorial's code is run: tests/operators/test_tutorial_page.py."""
    first, *_ = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert f"```python\n{first}```" in (DOCS / "tutorial.md").read_text()


def test_every_page_is_in_a_table_of_contents() -> None:
    listed = {"index"}
    for page in DOCS.rglob("*.md"):
        for block in re.findall(r"```{toctree}\n(.*?)```", page.read_text(), re.DOTALL):
            folder = page.parent.relative_to(DOCS)
            names = [line for line in block.splitlines() if line and not line.startswith(":")]
            listed |= {str(folder / name) for name in names}
    assert {str(page.relative_to(DOCS).with_suffix("")) for page in PAGES if page.is_relative_to(DOCS)} == listed


def test_pages_name_no_file_of_the_documentation_that_is_not_there() -> None:
    """Messages of the code name pages as ``docs/guides/iam.md``."""
    found = subprocess.run(
        ["git", "grep", "-ohE", r"docs/[a-z_/0-9]+\.md", "--", "*.py"], cwd=ROOT, capture_output=True, text=True
    ).stdout.split()
    assert not {name for name in found if not (ROOT / name).exists()}


def test_sections_of_the_site_are_made_from_the_code() -> None:
    shown = {}
    for page in ("reference/settings", "reference/documents", "changelog"):
        source = [(DOCS / f"{page}.md").read_text()]
        read_page(None, page, source)
        shown[page] = source[0]
    assert all(f"## {name}\n" in shown["reference/settings"] for name in OPTIONS)
    assert "## receipt" in shown["reference/documents"]
    assert "(../schemas/receipt.v1.json)" in shown["reference/documents"]
    assert "(guides/install.md)" in shown["changelog"]
    assert not any(mark in text for mark in SECTIONS for text in shown.values())
