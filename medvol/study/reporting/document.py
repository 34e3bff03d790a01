"""What a report says, apart from how it looks: claims, tables and pictures in the order in which they are read."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SIGNS", "Claim", "Code", "Document", "Notice", "Part", "Picture", "Prose", "Section", "Table"]

SIGNS = {"helps": "▲", "harms": "▼", "no evidence": "●", "not judged": "○"}
"""The four words of a verdict, each with a sign of its own: nothing is told by color alone."""


@dataclass(frozen=True)
class Claim:
    """One verdict.

    Attributes:
        word: one of :data:`SIGNS`.
        group: what several claims have in common, such as ``16 labelled patients``.
        sentence: the verdict with its numbers.
        folded: whether the page shows its group only when it is asked for.
    """

    word: str
    group: str
    sentence: str
    folded: bool = False


@dataclass(frozen=True)
class Notice:
    """Something that a reader must know before the numbers.

    Attributes:
        text: in one sentence.
        items: details, one line each.
    """

    text: str
    items: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prose:
    """A paragraph, or several points.

    Attributes:
        text: the paragraph.
        items: points below it.
    """

    text: str
    items: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A table whose cells are text.

    Attributes:
        caption: what it shows.
        columns: names of the columns.
        rows: one cell per column; the first names the row.
        words: how many of the first columns hold words, which stand on the left; the others hold numbers.
        note: below the table.
        folded: whether the page shows it only when it is asked for.
        texts: how many of the last columns hold words again, in as many lines as they take.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1
    note: str = ""
    folded: bool = False
    texts: int = 0

    def is_number(self, column: int) -> bool:
        """Whether a column, counted from 0, holds numbers."""
        return self.words <= column < len(self.columns) - self.texts


@dataclass(frozen=True)
class Picture:
    """A plot, or an image.

    Attributes:
        name: its file's name without ``.png``.
        content: PNG.
        alt: what it shows, for those who cannot see it.
        caption: below the picture.
        private: shows a patient's image: it stands in the page alone, and no file is written of it.
        wide: takes the whole width of the page, because it holds what is small.
    """

    name: str
    content: bytes
    alt: str
    caption: str
    private: bool = False
    wide: bool = False

    @property
    def width(self) -> int:
        """Width in pixels, as the file's head says it (PNG specification, section 11.2.1)."""
        return int.from_bytes(self.content[16:20], "big")

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int.from_bytes(self.content[20:24], "big")


@dataclass(frozen=True)
class Code:
    """Text for a machine: a command, or a file.

    Attributes:
        caption: what it is.
        text: as it stands.
        folded: whether the page shows it only when it is asked for.
    """

    caption: str
    text: str
    folded: bool = False


Part = Prose | Table | Picture | Code


@dataclass(frozen=True)
class Section:
    """A part of the report.

    Attributes:
        name: short, for links.
        title: its heading.
        parts: what it holds.
    """

    name: str
    title: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Document:
    """A whole report.

    Attributes:
        title: of the report.
        question: what the study asks.
        answer: all verdicts in one sentence.
        notices: what must be known before the numbers.
        claims: the verdicts.
        overview: the verdicts as a table, or None.
        sections: everything else.

    Example:
        >>> Document("demo", "Does it help?", "Not judged.", (), (), None, ()).pictures
        ()
    """

    title: str
    question: str
    answer: str
    notices: tuple[Notice, ...]
    claims: tuple[Claim, ...]
    overview: Table | None
    sections: tuple[Section, ...]

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """All pictures, in order."""
        return tuple(part for section in self.sections for part in section.parts if isinstance(part, Picture))
