"""The best, the median and the worst test case of a run, as the run drew them, small enough for a page."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from .document import Picture

__all__ = ["read_overlays"]

_WORDS = ("best", "median", "worst")
_WIDEST = 900  # pixels; a run draws about 1500


def read_overlays(
    folder: Path, runs: Sequence[tuple[str, str]], scores: Mapping[tuple[str, str], str] | None = None
) -> list[Picture]:
    """Return the pictures of some runs, in the order best, median, worst, one run after the other within each.

    Args:
        folder: study folder.
        runs: (arm, run folder within the study folder).
        scores: score in words by arm and case, for the captions.

    Returns:
        Pictures with the arm and the case in their captions; none of a run that has drawn none, or whose file is cut.
    """
    pictures = []
    for word in _WORDS:
        for arm, place in runs:
            for path in sorted((folder / place / "test" / "overlays").glob(f"{word}_*.png")):
                case = path.stem.removeprefix(f"{word}_")
                content = _small(path)
                score = f", {found}" if (found := (scores or {}).get((arm, case))) else ""
                if content:
                    alt = f"{word} test case of {arm}: {case}; slices with the prediction filled, the reference a line"
                    pictures.append(
                        Picture(path.stem, content, alt, f"{arm}, {word} case: {case}{score}", private=True)
                    )
    return pictures


def _small(path: Path) -> bytes | None:
    from PIL import Image

    content = io.BytesIO()
    try:
        with Image.open(path) as image:
            image = image.convert("RGB")
            image.thumbnail((_WIDEST, 10 * _WIDEST))
            # 256 colors are enough for gray levels under a few flat tints, and a third of the size.
            image.quantize(256).save(content, format="PNG", optimize=True)
    except OSError:
        return None
    return content.getvalue()
