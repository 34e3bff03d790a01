"""The report as Markdown, for a repository's page or a pull request."""

from __future__ import annotations

import itertools
import re

from .document import SIGNS, Code, Document, Part, Picture, Prose, Table

__all__ = ["render"]

# What Markdown, or the HTML that it lets through, would read as markup.
_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~$&])")


def render(document: Document) -> str:
    r"""Return a report as GitHub's Markdown; its plots are the PNG files beside it.

    Images of patients are not in it: they stand in the HTML page alone.

    Args:
        document: what the report says.

    Example:
        >>> print(render(Document("a_b", "Does it help?", "Not judged.", (), (), None, ())))
        # a\_b
        <BLANKLINE>
        Does it help?
        <BLANKLINE>
        **Not judged.**
        <BLANKLINE>
    """
    blocks = [f"# {_text(document.title)}", _text(document.question)]
    for notice in document.notices:
        blocks.append("\n".join([f"> **Note:** {_text(notice.text)}", *(f"> - {_text(i)}" for i in notice.items)]))
    blocks.append(f"**{_text(document.answer)}**")
    if document.overview:
        blocks.append(_table(document.overview))
    for group, claims in itertools.groupby(document.claims, lambda claim: claim.group):
        lines = [f"- {SIGNS[claim.word]} **{claim.word}**: {_text(claim.sentence)}" for claim in claims]
        blocks += [f"### {_text(group)}", "\n".join(lines)]
    for section in document.sections:
        blocks += [f"## {_text(section.title)}", *(_part(part) for part in section.parts)]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _part(part: Part) -> str:
    match part:
        case Table():
            return _table(part)
        case Picture(private=True):
            return ""
        case Picture():
            return f"![{_text(part.alt)}]({part.name}.png)\n\n*{_text(part.caption)}*"
        case Code():
            fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", part.text)), default=0))
            return f"{_text(part.caption)}\n\n{fence}\n{part.text}\n{fence}"
        case Prose():
            return "\n\n".join(filter(None, [_text(part.text), "\n".join(f"- {_text(i)}" for i in part.items)]))


def _table(table: Table) -> str:
    marks = ["---:" if table.is_number(number) else "---" for number in range(len(table.columns))]
    rows = [table.columns, marks, *table.rows]
    lines = ["| " + " | ".join(cell if row is marks else _text(cell) for cell in row) + " |" for row in rows]
    return "\n\n".join(filter(None, [_text(table.caption), "\n".join(lines), _text(table.note)]))


def _text(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
