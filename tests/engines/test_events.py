"""medvol.engines.events: which events fire, and in which order"""

from __future__ import annotations

import pytest
from ignite.engine import Events
from monai.engines.utils import IterationEvents

from medvol.engines import StepEvents


def test_order_within_a_stepping_group(trainer_factory):
    trainer = trainer_factory(steps=1, steps_per_epoch=1, accumulation_steps=2)
    fired = []
    for event in [*IterationEvents, *StepEvents, Events.EPOCH_COMPLETED, Events.COMPLETED]:
        trainer.add_event_handler(event, lambda e, event=event: fired.append(event.value))
    trainer.run()
    micro_batch = ["forward_completed", "loss_completed", "backward_completed"]
    step = ["gradients_ready", "optimizer_stepped"]
    end = ["epoch_completed", "completed"]
    assert fired == [*micro_batch, "model_completed", *micro_batch, *step, "model_completed", *end]


def test_failure_is_announced_once_and_raised(trainer_factory):
    trainer, failures = trainer_factory(), []
    trainer.add_event_handler(StepEvents.RUN_FAILED, lambda e: failures.append(str(e.failure)))

    @trainer.on(StepEvents.OPTIMIZER_STEPPED)
    def fail():
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        trainer.run()
    assert failures == ["broken"]
