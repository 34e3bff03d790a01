"""medvol.engines.outputs: MONAI's logging handlers on a trainer that does not decollate"""

from __future__ import annotations

import io
import logging

import pytest
from monai.handlers import StatsHandler, from_engine

from medvol.engines.outputs import unpack_single_outputs


def test_stats_handler_prints_the_loss(trainer_factory):
    stream = io.StringIO()
    logger = logging.getLogger("test_outputs")
    logger.setLevel(logging.INFO)
    logger.addHandler(logging.StreamHandler(stream))
    handler = StatsHandler(
        name="test_outputs", tag_name="train_loss", output_transform=from_engine(["loss"], first=True)
    )
    logging.disable(logging.NOTSET)
    trainer = trainer_factory(train_handlers=[handler], steps=2)
    trainer.run()
    assert f"train_loss: {trainer.state.output['loss'].item():.4f}" in stream.getvalue()


@pytest.mark.parametrize(("value", "expected"), [((3,), 3), ((1, 2), (1, 2)), ({"a": 1}, {"a": 1})])
def test_only_single_values_are_unpacked(value, expected):
    class Handler:
        output_transform = staticmethod(lambda output: value)

    handler = Handler()
    unpack_single_outputs(handler)
    assert handler.output_transform(None) == expected


def test_handlers_without_a_transform():
    unpack_single_outputs(object())
