"""Moments of a training that ignite and MONAI have no event for."""

from __future__ import annotations

from ignite.engine import EventEnum


class StepEvents(EventEnum):
    """Events of :class:`medvol.engines.Trainer` beside ignite's and MONAI's."""

    GRADIENTS_READY = "gradients_ready"
    """The gradients of a counted step are final (unscaled, frozen ones dropped, clipped); the weights are still old."""
    OPTIMIZER_STEPPED = "optimizer_stepped"
    """The weights are new, and ``state.step`` counts the step; does not fire when a scaler skipped it."""
    RUN_FAILED = "run_failed"
    """``run`` is about to raise ``trainer.failure``."""
