"""The documentation's page for each layout, made from its importer's docstring and signature."""

from __future__ import annotations

import inspect
import json
import re
import textwrap

from . import LAYOUTS, find_importer

_SECTION = re.compile(r"^(Args|Returns|Raises|Example):\n", re.MULTILINE)


def render_pages() -> dict[str, str]:
    """Return the pages, file name to Markdown: ``README.md`` (the index) and one for each layout.

    Raises:
        ValueError: an importer's docstring does not describe one of its options.

    Example:
        >>> "msd.md" in render_pages()
        True
    """
    pages = {f"{layout}.md": _page(layout) for layout in LAYOUTS}
    rows = "\n".join(f"| [{name}]({name}.md) | {_parts(name)['summary']} |" for name in sorted(LAYOUTS))
    pages["README.md"] = _INDEX + rows + "\n"
    return pages


_INDEX = """# Layouts

One page for each layout of folders that `python -m medvol manifest import <layout> <folder> --out <manifest>`
understands. For your own scans see [own scans](../own-scans.md); for the public sets, with their licences and traps,
see [sets](../sets.md): the name of a set imports it with the right layout and options.

An option is given as `--option key=value`; a value is read as JSON if it is JSON
(`--option 'modalities=["t1", "flair"]'`), and as text if it is not.

| layout | what |
|---|---|
"""


def _page(layout: str) -> str:
    parts, importer = _parts(layout), find_importer(layout)
    described = dict(_entries(parts.get("Args", "")))
    rows, required = [], []
    for name, parameter in list(inspect.signature(importer).parameters.items())[1:]:
        if name not in described:
            raise ValueError(f"{importer.__name__} must describe its option '{name}' under Args; add a line")
        needed = parameter.default is parameter.empty
        default = "needed" if needed else f"`{json.dumps(parameter.default, default=str)}`"
        rows.append(f"| `{name}` | {default} | {described[name]} |")
        required += [f" --option {name}=..."] if needed else []
    refusals = "\n".join(f"- {text[0].upper()}{text[1:]}" for _, text in _entries(parts.get("Raises", "")))
    return (
        f"# {layout}\n\n{parts['summary']}\n\n{parts['body']}\n\n"
        f"```bash\npython -m medvol manifest import {layout} <folder> --out mine.json{''.join(required)}\n```\n\n"
        f"## Options\n\n| option | default | meaning |\n|---|---|---|\n" + "\n".join(rows) + "\n\n"
        f"## What is refused\n\n{refusals}\n\n"
        "Then look at every file before you train: `python -m medvol manifest verify mine.json`. "
        "[All layouts](README.md)\n"
    )


def _parts(layout: str) -> dict[str, str]:
    text = inspect.getdoc(find_importer(layout)) or ""
    head, *rest = _SECTION.split(text)
    summary, _, body = head.strip().partition("\n\n")
    parts = dict(zip(rest[::2], rest[1::2], strict=True))
    return {"summary": _plain(" ".join(summary.split())), "body": _blocks(body), **parts}


def _blocks(body: str) -> str:
    """Return reStructuredText's paragraphs and ``::`` blocks as Markdown's."""
    lines = []
    for paragraph in re.split(r"\n\n(?=\S)", body.strip()):
        text, marker, block = paragraph.partition("::\n")
        lines.append(_plain(text.rstrip()) + (":" if marker else ""))
        if marker:
            drawing = textwrap.dedent(block.strip("\n")).rstrip().replace("``", "")
            lines.append(f"```\n{drawing}\n```")
    return "\n\n".join(lines)


def _entries(section: str) -> list[tuple[str, str]]:
    found = re.findall(r"^ {4}(\w+): (.*(?:\n(?: {8}.*|\s*$))*)", section, re.MULTILINE)
    return [(name, _plain(" ".join(text.split())).replace("|", "\\|")) for name, text in found]


def _plain(text: str) -> str:
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text)
    return text.replace("``", "`")
