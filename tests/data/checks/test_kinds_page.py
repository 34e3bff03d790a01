"""docs/data/verify.md lists every kind of finding; running this file writes its table anew."""

from __future__ import annotations

from pathlib import Path

from medvol.data.checks import KINDS

PAGE = Path(__file__).parents[3] / "docs/data/verify.md"
START, END = "<!-- kinds -->\n", "<!-- end of kinds -->\n"


def rendered(page: str) -> str:
    rows = "".join(f"| `{kind}` | {text} |\n" for kind, text in KINDS.items())
    before, rest = page.split(START)
    return f"{before}{START}| kind | what it looks at |\n|---|---|\n{rows}{END}{rest.split(END)[1]}"


def test_the_page_lists_every_kind() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert rendered(page) == page, "run this file to write the table anew"


if __name__ == "__main__":
    PAGE.write_text(rendered(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
