"""medvol.engines.resume"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from medvol.engines.resume import (
    load_checkpoint,
    restore_training,
    save_checkpoint,
    save_weights,
    training_state,
)


def test_equal_states_give_equal_bytes_under_any_name(tmp_path):
    for name in ("a.pt", "another.pt"):
        save_checkpoint(tmp_path / name, {"x": torch.arange(3.0), "n": 1})
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "another.pt").read_bytes()


def test_missing_and_foreign_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="found no file"):
        load_checkpoint(tmp_path / "last.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(ValueError, match=r"expected a dict .* found list"):
        load_checkpoint(tmp_path / "list.pt")
    torch.save({"code": nn.Linear(1, 1)}, tmp_path / "code.pt")
    with pytest.raises(ValueError, match="damaged or foreign"):
        load_checkpoint(tmp_path / "code.pt")


def test_weights_are_plain_and_shared_tensors_stored_once(tmp_path):
    layer = nn.Linear(100, 100)
    one, two = nn.ModuleDict({"a": layer}), nn.ModuleDict({"a": layer, "alias": layer})
    one.view = two.view = None
    save_weights(tmp_path / "one.pt", one)
    save_weights(tmp_path / "two.pt", two)
    assert (tmp_path / "two.pt").stat().st_size < 1.1 * (tmp_path / "one.pt").stat().st_size
    loaded = torch.load(tmp_path / "two.pt", weights_only=True)
    assert list(loaded) == ["a.weight", "a.bias", "alias.weight", "alias.bias"]
    assert torch.equal(loaded["alias.weight"], layer.weight)


def test_a_view_does_not_drag_its_storage_along(tmp_path):
    module = nn.Module()
    module.register_buffer("part", torch.zeros(1_000_000)[:3])
    save_weights(tmp_path / "part.pt", module)
    assert (tmp_path / "part.pt").stat().st_size < 10_000


def test_state_must_fit(trainer_factory):
    state = training_state(trainer_factory())
    with pytest.raises(ValueError, match=r"\[3, 1\] micro-batches per epoch and per step, found \[6, 2\]"):
        restore_training(trainer_factory(accumulation_steps=2), state)
    del state["optimizer"]
    with pytest.raises(ValueError, match=r"found none of \['optimizer'\]"):
        restore_training(trainer_factory(), state)
