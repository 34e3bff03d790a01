"""The pictures that a run leaves; they are worth having, and never worth failing for."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from medvol.engines.tracking import read_log
from medvol.figures import save_curves

CURVES = "curves.png"
OVERLAYS = "overlays"
MAX_PANELS = 6


def draw_curves(run_dir: Path) -> None:
    """Draw ``log.csv`` as ``curves.png`` into the run's folder; a log without two rows of one name has no curves.

    Args:
        run_dir: the run's folder.
    """
    log, png = run_dir / "log.csv", run_dir / CURVES

    def action() -> None:
        rows = Counter(row.name for row in read_log(log))
        if max(rows.values(), default=0) > 1:
            save_curves(log, png, choose_names(list(rows)))

    draw(png, action)


def choose_names(names: list[str]) -> list[str]:
    """Return what is drawn of a log, losses first: how well it goes, and of too many validated values the means.

    Learning rates and the gradients' norm are left to the log: a panel takes a tenth of a second, and all drawing
    together shall stay below a hundredth of the training.

    Args:
        names: the names in a log.

    Example:
        >>> choose_names(["loss", "learning_rate", *(f"val_{region}_dice" for region in ("mean", *"abcdef"))])
        ['loss', 'val_mean_dice']
    """
    names = [name for name in names if not name.startswith(("learning_rate", "gradient_norm"))] or names
    if len(names) > MAX_PANELS:
        means = (name for name in names if not name.startswith("val_") or name.startswith(("val_mean_", "val_loss")))
        names = list(means) or names
    order = ("loss", "val_loss", "val_")
    ranks = {name: next((i for i, start in enumerate(order) if name.startswith(start)), len(order)) for name in names}
    return sorted(names, key=ranks.__getitem__)[:MAX_PANELS]


def draw(png: Path, action: Callable[[], None]) -> bool:
    """Draw a picture, or warn that it could not be drawn; return whether it was.

    Args:
        png: the file it goes to.
        action: draws it.

    Example:
        >>> draw(Path("picture.png"), lambda: None)
        True
    """
    try:
        action()
    except Exception as error:  # a full disk or an odd affine must not cost the hours that lie behind it
        _remove_parts(png)
        warnings.warn(
            f"expected to draw {png}, found {type(error).__name__}: {str(error)[:200]}; nothing else of the run is "
            "touched; make room or correct that, and draw it again with medvol.figures",
            stacklevel=2,
        )
        return False
    return True


def remove_overlays(folder: Path, keep: frozenset[str] = frozenset()) -> None:
    """Remove the overlays in a folder, and the folder when nothing else is in it.

    Args:
        folder: with or without overlays; it may be missing.
        keep: names of files that stay.
    """
    if not folder.is_dir():
        return
    for pattern in ("best_*.png", "median_*.png", "worst_*.png", ".partial-*.png"):
        for png in folder.glob(pattern):
            if png.name not in keep:
                png.unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()


def _remove_parts(png: Path) -> None:
    try:
        png.with_name(f".partial-{png.name}").unlink(missing_ok=True)
    except OSError:  # the folder cannot be written, which is what the warning says
        return
