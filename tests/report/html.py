"""What must be true of every page."""

from __future__ import annotations

from html.parser import HTMLParser

_VOID = {"meta", "col", "br", "line", "rect", "path", "circle"}
#: Elements and attributes that run something or load something.
_LOADING = {"script", "link", "img", "iframe", "object", "embed", "audio", "video", "source", "base", "form", "image"}


class _Checker(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.faults: list[str] = []
        self.ids: list[str] = []
        self.anchors: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._look_at(tag, dict(attrs))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._look_at(tag, dict(attrs))

    def _look_at(self, tag: str, attributes: dict[str, str | None]) -> None:
        if tag in _LOADING:
            self.faults.append(f"<{tag}>")
        for name, value in attributes.items():
            if name.startswith("on") or name in ("src", "srcset", "data", "action", "xlink:href"):
                self.faults.append(f"{tag} {name}={value}")
            if name == "id":
                self.ids.append(value or "")
            if name == "href" and (value or "").startswith("#"):
                self.anchors.append((value or "")[1:])

    def handle_endtag(self, tag: str) -> None:
        if tag in _VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> closes something else")

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text.append(data)


def checked(page: str) -> str:
    """The text of a page, after a check that it is whole, and that it runs and loads nothing."""
    checker = _Checker()
    checker.feed(page)
    checker.close()
    assert not checker.faults
    assert not checker.open
    assert not set(checker.anchors) - set(checker.ids)
    assert len(set(checker.ids)) == len(checker.ids)
    assert "default-src 'none'" in page
    assert "url(" not in page
    assert "@import" not in page
    return " ".join(" ".join(checker.text).split())
