"""Feeds monitors, which say how a pretext task goes, with every micro-batch, and averages the loss between two logs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

import torch

from medvol import distributed


@runtime_checkable
class Monitor(Protocol):
    """A running summary of outputs and labels, for instance an accuracy."""

    def update(self, output: Any, label: torch.Tensor | None) -> None:
        """Take in one micro-batch."""

    def compute(self) -> dict[str, float]:
        """Return the values since the last reset, by name."""

    def reset(self) -> None:
        """Forget."""


class MonitorBoard:
    """The loss and all monitors over a window of micro-batches.

    ``compute`` must be called on all processes together: the loss is averaged over them, and monitors may sum, too.

    Args:
        monitors: objects with ``update``, ``compute`` and ``reset``.

    Raises:
        TypeError: when a monitor lacks one of the three.

    Example:
        >>> board = MonitorBoard()
        >>> board.update(2.0, torch.zeros(1), None); board.update(4.0, torch.zeros(1), None)
        >>> board.compute()
        {'loss': 3.0}
    """

    def __init__(self, monitors: Iterable[Monitor] = ()) -> None:
        self.monitors = list(monitors or ())
        for monitor in self.monitors:
            if not isinstance(monitor, Monitor):
                raise TypeError(
                    f"expected monitors with update, compute and reset, found {type(monitor).__name__}; "
                    "give metric objects, for instance $medvol.metrics.ContrastiveAccuracy()"
                )
        self._losses: list[float] = []

    def update(self, loss: float, output: Any, label: torch.Tensor | None) -> None:
        """Take in one micro-batch.

        Args:
            loss: its mean loss.
            output: what the network returned.
            label: the label, if there is one.
        """
        self._losses.append(loss)
        for monitor in self.monitors:
            monitor.update(output, label)

    def alarms(self, values: Mapping[str, float]) -> list[str]:
        """Return what monitors with a method ``alarm`` have to say of values of :meth:`compute`."""
        told = [monitor.alarm(values) for monitor in self.monitors if hasattr(monitor, "alarm")]
        return [text for text in told if text]

    def compute(self) -> dict[str, float]:
        """Return the mean loss and the monitors' values of the window, and begin a new one.

        Raises:
            ValueError: when two monitors use one name.
        """
        total, count = distributed.all_sum(
            torch.tensor([sum(self._losses), float(len(self._losses))], dtype=torch.float64)
        ).tolist()
        values = {"loss": total / count} if count else {}
        for monitor in self.monitors:
            for name, value in monitor.compute().items():
                if name in values:
                    raise ValueError(
                        f"expected one value per name, found '{name}' of {type(monitor).__name__} twice; "
                        "list that monitor once, or give one of them another name"
                    )
                values[name] = float(value)
        self.reset()
        return values

    def reset(self) -> None:
        """Begin a new window."""
        self._losses.clear()
        for monitor in self.monitors:
            monitor.reset()

    def state_dict(self) -> dict[str, Any]:
        """Return the states of the monitors that have one beyond their window (most have none)."""
        return {str(i): m.state_dict() for i, m in enumerate(self.monitors) if hasattr(m, "state_dict")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore :meth:`state_dict`."""
        for i, part in state.items():
            self.monitors[int(i)].load_state_dict(part)  # type: ignore[attr-defined]
