"""What a written page must not hold, whatever words went into it: markup of others, and control characters."""

from __future__ import annotations

import re
import unicodedata
from html.parser import HTMLParser
from pathlib import Path

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_MARKUP = re.compile(r"(?<!\\)<(script|img|/?style)|(?<!\\)\]\(http://evil")
_TEXTS = {".md", ".txt", ".html"}


def raw_signs(text: str) -> str:
    """The signs of `text` that a terminal acts on, each once."""
    return "".join(sorted({sign for sign in set(text) if unicodedata.category(sign) in _HIDDEN and sign != "\n"}))


class _Markup(HTMLParser):
    """Collects what hostile words (`hostile.EVERY`) would have become, had they been markup."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag
        words = dict(attrs)
        target = words.get("href") or words.get("src") or ""
        if any(name.startswith("on") for name in words) or target == "x" or "evil" in target or "script:" in target:
            self.found.append(f"<{tag} {words}>"[:200])

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        hostile = {"script": "alert(1)", "style": "*{display:"}.get(self.inside)
        if hostile is not None and data.startswith(hostile):
            self.found.append(f"<{self.inside}> {data[:100]}")


def unsafe(out: Path) -> str:
    """What is unsafe in the pages below `out`; empty where nothing is."""
    for path in sorted(out.rglob("*")) if out.is_dir() else []:
        if path.suffix not in _TEXTS or not path.is_file():
            continue
        text = path.read_text(encoding="utf-8")
        if signs := raw_signs(text.replace("\t", "")):
            return f"{path.name}: raw {signs!r}"
        if path.suffix == ".html":
            page = _Markup()
            page.feed(text)
            if page.found:
                return f"{path.name}: {page.found[0]}"
        elif path.suffix == ".md" and (found := _MARKUP.search(text)):
            return f"{path.name}: {text[max(found.start() - 60, 0) : found.end() + 60]!r}"
    return ""
