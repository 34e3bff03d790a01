"""The report as one HTML file that needs nothing from outside."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterable
from pathlib import Path

import jinja2

from .document import SIGNS, Claim, Document, Part, Picture

__all__ = ["render"]

_CLASSES = {"helps": "helps", "harms": "harms", "no evidence": "none", "not judged": "open"}


def render(document: Document) -> str:
    """Return a report as HTML: no script, pictures inside of it, every text escaped.

    Args:
        document: what the report says.

    Example:
        >>> page = render(Document("<b>", "Does it help?", "Not judged.", (), (), None, ()))
        >>> "&lt;b&gt;" in page, "<script" in page
        (True, False)
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"encoded": _encoded, "groupby_order": _by_group, "runs": _runs}
    template = environment.from_string(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
    words = {text: name for word, name in _CLASSES.items() for text in (word, f"{SIGNS[word]} {word}")}
    return template.render(document=document, words=words, classes=_CLASSES, signs=SIGNS).strip() + "\n"


def _encoded(picture: Picture) -> str:
    return base64.b64encode(picture.content).decode("ascii")


def _by_group(claims: Iterable[Claim]) -> list[tuple[str, list[Claim]]]:
    """Neighbors of one group, in their order."""
    return [(group, list(members)) for group, members in itertools.groupby(claims, lambda claim: claim.group)]


def _runs(parts: Iterable[Part]) -> list[tuple[str, list[Part]]]:
    """Neighbors of one kind: pictures that follow each other share a grid, wide ones have a row each."""

    def kind(part: Part) -> str:
        return "Wide" if isinstance(part, Picture) and part.wide else type(part).__name__

    return [(name, list(members)) for name, members in itertools.groupby(parts, kind)]
