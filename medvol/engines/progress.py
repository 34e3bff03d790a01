"""The progress bar on a terminal, a line for every tenth in a log file, and one line at the end everywhere."""

from __future__ import annotations

import sys
import time
from typing import Any

from tqdm import tqdm


class Progress:
    """Shows steps, values and the remaining time: a bar on a terminal, a line for every tenth of the way in a log file.

    Args:
        name: the run's name.
        steps: optimizer steps of the whole training.
        start: optimizer steps finished before.
        shown: ``False`` is silent, for instance on all processes but the first.
    """

    def __init__(self, name: str, steps: int, start: int = 0, shown: bool = True) -> None:
        self.name, self.steps, self.start, self.shown = name, steps, start, shown
        self._began = time.monotonic()
        self._tenth = start * 10 // steps
        # A bar in a log file would be thousands of lines.
        visible = shown and sys.stderr.isatty()
        self._bar: Any = tqdm(total=steps, initial=start, desc=name, unit="step", disable=not visible)

    def update(self, step: int, values: dict[str, float]) -> None:
        """Move to ``step`` and show the newest values."""
        if values:
            self._bar.set_postfix({k: f"{v:.4g}" for k, v in values.items()}, refresh=False)
        self._bar.update(step - self._bar.n if not self._bar.disable else 0)
        if self.shown and self._bar.disable and values and step * 10 // self.steps > self._tenth:
            self._tenth = step * 10 // self.steps
            left = (time.monotonic() - self._began) / max(step - self.start, 1) * (self.steps - step)
            shown = ", ".join(f"{name} {value:.4g}" for name, value in list(values.items())[:3])
            print(f"medvol: {self.name}: step {step} of {self.steps}, {left:.0f} s left; {shown}", flush=True)

    def close(self) -> None:
        """Remove the bar."""
        self._bar.close()

    def summarize(self, step: int, examples: int, values: dict[str, float], folder: Any) -> None:
        """Print the one line at the end."""
        self.close()
        if self.shown:
            seconds = time.monotonic() - self._began
            numbers = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
            done = f"{step} steps" if not self.start else f"{step} steps ({step - self.start} in this session)"
            print(
                f"medvol: {self.name}: {done}, {examples} examples, {seconds:.0f} s; {numbers or 'no values'}; {folder}"
            )
