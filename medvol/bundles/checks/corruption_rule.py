"""What must hold of the corruption that an evaluation is asked for."""

from __future__ import annotations

from collections.abc import Iterator

from ..opening import OpenBundle
from ..refusal import Problem, innermost
from .trying import on_the_side, side_parser

__all__ = ["corruption_rule"]


def corruption_rule(opened: OpenBundle) -> Iterator[Problem]:
    """The corruption exists, in this severity; without one, the severity does not matter."""
    if not opened.config.get("corruption") or "preprocessing" not in opened.config:
        return
    try:
        with on_the_side():
            side_parser(opened.config).get_parsed_content("preprocessing")
    except Exception as error:
        remedy = "give --corruption and --severity as docs/robustness.md lists them, or leave both out"
        yield Problem("transforms of the images that can be built, with a corruption", innermost(error), remedy)
