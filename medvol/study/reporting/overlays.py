"""The best, the median and the worst scored case of a run, as the run drew them, small enough for a page."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from medvol.figures import COLORS

from .document import Picture

__all__ = ["legend_text", "read_overlays"]

_WORDS = ("best", "median", "worst")
_WIDEST = 1400  # pixels: a page is 1100 wide, and what a run wrote into its picture must still be read
_COLORS = dict(zip(COLORS, ("orange", "sky blue", "green", "pink", "red-orange", "blue", "yellow"), strict=True))


def read_overlays(
    folder: Path,
    runs: Sequence[tuple[str, str]],
    scores: Mapping[tuple[str, str], str] | None = None,
    legend: str = "",
    section: str = "test",
) -> list[Picture]:
    """Return the pictures of some runs, in the order best, median, worst, one run after the other within each.

    Args:
        folder: study folder.
        runs: (arm, run folder within the study folder).
        scores: score in words by arm and case, for the captions.
        legend: what the colors and the sides mean, for the captions.
        section: section of the manifest that was scored.

    Returns:
        Pictures with the arm and the case in their captions; none of a run that has drawn none, or whose file is cut.
    """
    pictures = []
    for word in _WORDS:
        for arm, place in runs:
            for path in sorted((folder / place / section / "overlays").glob(f"{word}_*.png")):
                case = path.stem.removeprefix(f"{word}_")
                content = _small(path)
                score = f", {found}" if (found := (scores or {}).get((arm, case))) else ""
                if content:
                    what = "slices with the prediction filled, the reference a line"
                    alt = f"{word} {section} case of {arm}: {case}; {what}"
                    caption = f"{arm}, {word} case: {case}{score}{legend and f'. {legend}'}"
                    pictures.append(Picture(path.stem, content, alt, caption, private=True, wide=True))
    return pictures


def legend_text(labels: Mapping[str, int], is_volume: bool) -> str:
    """Return in words what a run writes small into its pictures (:func:`medvol.figures.save_overlay`).

    Args:
        labels: label name -> integer, the data set's ``label_map``.
        is_volume: whether the pictures show slices of a volume, which stand as the body does.

    Example:
        >>> legend_text({"background": 0, "tumor": 1}, is_volume=False)
        'Filled: prediction; line: reference; orange: tumor.'
    """
    named = {number: name for name, number in labels.items() if number != 0}
    colors = [_COLORS[color] for color in COLORS]
    parts = [f"{colors[place % len(colors)]}: {named[number]}" for place, number in enumerate(sorted(named))]
    text = f"{'; '.join(['Filled: prediction', 'line: reference', *parts])}."
    sides = "The left of the body is on the left, and the front is on the right in the sagittal slice."
    return f"{text} {sides}" if is_volume else text


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
