"""medvol.engines.sawtooth"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser
from torch import nn

from medvol.engines import Constant, FrozenWarmup, Sawtooth, StepEvents, WarmupCosine
from medvol.engines.resume import restore_training, training_state
from medvol.networks import Encoder

BUNDLES = Path(__file__).parents[2] / "bundles"


def optimizer_of() -> torch.optim.Optimizer:
    parameters = [torch.zeros(1, requires_grad=True) for _ in range(2)]
    return torch.optim.SGD([{"params": [parameters[0]]}, {"params": [parameters[1]], "lr": 0.1}], lr=1.0)


def rates(steps: int, make: Callable) -> list[list[float]]:
    optimizer = optimizer_of()
    schedule, used = make(optimizer), []
    for _ in range(steps):
        used.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    return used


def test_both_teeth_in_every_group() -> None:
    used = rates(22, lambda optimizer: Sawtooth(optimizer, 6, 4, 20, final=0.1))
    expected = [1 / 3, 2 / 3, 1.0] + [(1 - i / 3) ** 0.9 for i in range(3)]
    expected += [0.25, 0.5, 0.75, 1.0] + [0.1 + 0.9 * (1 - i / 10) ** 0.9 for i in range(10)] + [0.1, 0.1]
    assert [u[0] for u in used] == pytest.approx(expected, abs=1e-12)
    assert [u[1] for u in used] == pytest.approx([0.1 * e for e in expected], abs=1e-12)


def test_a_cosine_without_first_tooth_is_the_warm_up_schedule() -> None:
    one = rates(30, lambda optimizer: Sawtooth(optimizer, 0, 5, 25, final=0.2, decay="cosine"))
    known = rates(30, lambda optimizer: WarmupCosine(optimizer, 5, 25, final=0.2))
    assert [u[0] for u in one] == pytest.approx([u[0] for u in known], abs=1e-12)
    late = rates(30, lambda optimizer: Sawtooth(optimizer, 4, 5, 29, final=0.2, decay="cosine"))
    assert [u[1] for u in late[4:]] == pytest.approx([u[1] for u in one[:26]], abs=1e-12)


@pytest.mark.parametrize(("decoder", "warmup", "total"), [(0, 0, 3), (1, 0, 3), (5, 5, 4), (2, 1, 3), (3, 0, 3)])
def test_short_ones_stay_within_zero_and_the_peak(decoder: int, warmup: int, total: int) -> None:
    used = [u[0] for u in rates(total + 3, lambda optimizer: Sawtooth(optimizer, decoder, warmup, total))]
    assert all(0 <= rate <= 1 for rate in used)
    assert all(rate > 0 for rate in used[:total])
    assert max(used[:total]) == 1.0


def test_a_constant_rate_after_its_warm_up() -> None:
    assert rates(5, Constant) == [[1.0, 0.1]] * 5
    used = rates(6, lambda optimizer: Constant(optimizer, warmup_steps=4))
    assert [u[0] for u in used] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    "make", [lambda o: Sawtooth(o, 6, 4, 20), lambda o: Constant(o, 9)], ids=["sawtooth", "constant"]
)
@pytest.mark.parametrize("stop", [2, 5, 8, 15])
def test_a_file_in_the_middle_goes_on_at_the_same_rates(make: Callable, stop: int) -> None:
    optimizer, buffer = optimizer_of(), io.BytesIO()
    schedule = make(optimizer)
    for _ in range(stop):
        optimizer.step()
        schedule.step()
    torch.save({"optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}, buffer)
    buffer.seek(0)
    state = torch.load(buffer, weights_only=True)
    other = optimizer_of()
    again = make(other)
    other.load_state_dict(state["optimizer"])
    again.load_state_dict(state["schedule"])
    used = []
    for _ in range(20 - stop):
        used.append([group["lr"] for group in other.param_groups])
        other.step()
        again.step()
    assert used == rates(20, make)[stop:]


def test_the_decoder_learns_alone_then_all_and_a_resumed_training_ends_the_same(trainer_factory: Callable) -> None:
    def make(steps: int) -> tuple:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1))
        trainer = trainer_factory(
            network=network,
            steps=steps,
            lr_scheduler=lambda optimizer: Sawtooth(optimizer, 4, 2, 9),
            freeze=FrozenWarmup(network[0], steps=4),
        )
        seen: list[tuple] = []
        trainer.add_event_handler(
            StepEvents.OPTIMIZER_STEPPED, lambda: seen.append((network[0].weight.clone(), network[2].weight.clone()))
        )
        return trainer, network, seen

    whole, network, seen = make(9)
    start = network[0].weight.clone()
    whole.run()
    assert [torch.equal(encoder, start) for encoder, _ in seen] == [True] * 4 + [False] * 5
    assert all(not torch.equal(seen[i][1], seen[i + 1][1]) for i in range(8))
    first, _, _ = make(5)
    first.run()
    second, resumed, _ = make(9)
    restore_training(second, training_state(first))
    second.run()
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), resumed.parameters(), strict=True))


@pytest.mark.parametrize(
    "arguments", [(-1, 2, 5), (1, -2, 5), (0, 0, 0), (1, 1, 5, 1.5), (1, 1, 5, 0.0, "polynom")], ids=str
)
def test_sawtooth_refuses(arguments: tuple) -> None:
    with pytest.raises(ValueError, match=r"expected .* found .*; "):
        Sawtooth(optimizer_of(), *arguments)


@pytest.mark.parametrize("bundle", ["unet_hippocampus", "unet_brats", "unet_pancreas"])
def test_the_bundles_ask_for_them(bundle: str) -> None:
    """A tenth of the steps for each tooth, as published, and the encoder frozen for just the first."""
    steps = json.loads((BUNDLES / bundle / "train.json").read_text(encoding="utf-8"))["steps"]
    args = json.loads((BUNDLES / bundle / "args_sawtooth.json").read_text(encoding="utf-8"))
    assert args["lr_scheduler"]["decoder_steps"] == "@freeze_steps"
    assert math.isclose(args["freeze_steps"], steps / 10)
    assert args["warmup_steps"] == args["freeze_steps"]
    args = json.loads((BUNDLES / bundle / "args_constant.json").read_text(encoding="utf-8"))
    assert (args["freeze_steps"], args["warmup_steps"]) == (0, 0)


def resolved(file: str, weights: Path) -> tuple[ConfigParser, list[float]]:
    """The config of unet_brats with a file of overrides, and the learning rates of its steps."""
    parser = ConfigParser(json.loads((BUNDLES / "unet_brats" / "train.json").read_text(encoding="utf-8")))
    args = json.loads((BUNDLES / "unet_brats" / file).read_text(encoding="utf-8"))
    parser.update({**args, "filters": [8, 8, 8]})
    torch.save(Encoder(parser.get_parsed_content("network_def")).state_dict(), weights)
    parser.update({"pretrained": str(weights)})  # without any, nothing is frozen
    optimizer, schedule = map(parser.get_parsed_content, ("optimizer", "lr_scheduler"))
    assert schedule.optimizer is optimizer
    used = []
    for _ in range(parser["steps"]):
        used.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return parser, used


def test_a_bundle_with_the_sawtooth_trains_so(tmp_path: Path) -> None:
    """Both teeth reach the peak; the encoder is frozen to the end of the first."""
    parser, used = resolved("args_sawtooth.json", tmp_path / "model.pt")
    assert type(parser.get_parsed_content("lr_scheduler")) is Sawtooth
    first = [n / 20 for n in range(1, 21)] + [(1 - n / 20) ** 0.9 for n in range(20)]
    second = [n / 40 for n in range(1, 41)] + [(1 - n / 320) ** 0.9 for n in range(320)]
    assert used == pytest.approx([parser["learning_rate"] * share for share in first + second], rel=1e-9)
    freeze, encoder = parser.get_parsed_content("freeze"), Encoder(parser.get_parsed_content("network"))
    assert type(freeze) is FrozenWarmup
    assert (freeze.active(39), freeze.active(40)) == (True, False)
    assert {id(p) for p in freeze.parameters()} == {id(p) for p in encoder.parameters()}


def test_a_bundle_with_the_constant_rate_trains_so(tmp_path: Path) -> None:
    parser, used = resolved("args_constant.json", tmp_path / "model.pt")
    assert type(parser.get_parsed_content("lr_scheduler")) is Constant
    assert used == [parser["learning_rate"]] * 400
    assert not parser.get_parsed_content("freeze").active(0)
