"""Rounds of MONAI's federated client on the real bundles: docs/federated.md, with two clients and a server by hand."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from ignite.engine import Events
from monai.fl.client import MonaiAlgo
from monai.fl.utils.constants import ExtraItems, FlStatistics, WeightType
from monai.fl.utils.exchange_object import ExchangeObject
from monai.networks.utils import copy_model_state

from medvol.bundles import GuardError
from medvol.engines.tracking import read_log
from medvol.passport import read_passport

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:executing the bundle config.*GHSA-x6pr-233j-x5cw")]

ROOT = Path(__file__).parents[2] / "bundles"
Weights = dict[str, torch.Tensor]

EVALUATOR = {
    "_target_": "medvol.engines.PretextEvaluator",
    "trainer": "@train::trainer",
    "validator": "@validate::validator",
}
METRIC = {"cpc3d": "val_loss", "unet_brats": "mean_dice"}


def client(bundle: Path, name: str, given: dict, diff: bool = False) -> MonaiAlgo:
    """A client as docs/federated.md sets it up: two rounds of two steps."""
    given = {**given, "steps": 4, "steps_per_epoch": 2, "restart": True}
    # A pretext task has no evaluator of its own; the one of a segmentation need not draw every round.
    more = {"validate::evaluator": EVALUATOR} if bundle.name == "cpc3d" else {"validate::handlers::1::_disabled_": True}
    made = MonaiAlgo(
        bundle_root=str(bundle),
        local_epochs=1,
        send_weight_diff=diff,
        train_kwargs={**given, "run_name": name},
        config_evaluate_filename="configs/train.json",
        eval_kwargs={**given, **more, "run_name": f"{name}_eval"},
    )
    made.initialize({ExtraItems.CLIENT_NAME: name})
    return made


def copied(weights: Weights) -> Weights:
    """What a network transport does; on the CPU, ``get_weights`` hands out the very tensors that are trained."""
    return {key: value.clone() for key, value in weights.items()}


def train(made: MonaiAlgo, weights: Weights) -> tuple[Weights, Weights]:
    """One round; returns the weights before its first step, and what the client sends back."""
    seen: Weights = {}
    handler = made.trainer.add_event_handler(
        Events.ITERATION_STARTED, lambda e: seen or seen.update(copied(e.unwrapped.state_dict()))
    )
    made.train(ExchangeObject(weights=copied(weights)))
    handler.remove()
    sent = made.get_weights()
    assert sent.statistics[FlStatistics.NUM_EXECUTED_ITERATIONS] == 2
    return seen, copied(sent.weights)


def equal(one: Weights, other: Weights) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("name", ["cpc3d", "unet_brats"])
def test_two_rounds_of_two_clients(
    name: str, overrides: Callable[..., dict], write_tiny_dataset: Callable[..., Path], tmp_path: Path
) -> None:
    bundle = tmp_path / name  # a copy, so that the runs lie where a client would have them, in <bundle>/eval
    shutil.copytree(ROOT / name, bundle, symlinks=True, ignore=shutil.ignore_patterns("eval"))
    given = overrides(name)
    del given["output_dir"]
    other = str(write_tiny_dataset(tmp_path / "b", seed=1))
    first = client(bundle, "a", {**given, "where": "patient in ['p0', 'p1', 'p3']"})
    second = client(bundle, "b", {**given, "manifest": other}, diff=True)
    # What a server sends is nobody's own; DynUNet lists tensors twice, so both names must get the same.
    start = {key: 0.9 * value for key, value in first.get_weights().weights.items()}

    began_a, sent_a = train(first, start)
    began_b, difference = train(second, start)
    assert equal(began_a, start)
    assert equal(began_b, start)
    assert second.get_weights().weight_type == WeightType.WEIGHT_DIFF
    sent_b = {key: start[key] + difference[key] for key in start}
    assert not equal(sent_a, start)
    assert not equal(sent_b, start)
    assert not equal(sent_a, sent_b)
    run = bundle / "eval" / "a"
    assert (run / "last.pt").exists()
    assert not (run / "model.pt").exists()  # the plan has a second round

    average = {key: (sent_a[key] + sent_b[key]) / 2 for key in start}
    scores = [first.evaluate(ExchangeObject(weights=copied(w))).metrics[METRIC[name]] for w in (start, average, start)]
    assert scores[0] == scores[2] != scores[1]  # of the weights that came in, whatever was there before
    assert equal(first.evaluator.network.state_dict(), start)
    assert not (bundle / "eval" / "a_eval" / "overlays").exists()

    began_a, again = train(first, average)
    assert equal(began_a, average)
    assert not equal(again, average)
    assert first.trainer.state.step == first.trainer.steps == 4
    assert [row.step for row in read_log(run / "log.csv") if row.name == "loss"] == [2, 4]
    passport = read_passport(run)
    assert (passport["run"], passport["steps"], passport["examples"]) == ("a", 4, 8)
    product = torch.load(run / "model.pt", weights_only=True)
    assert equal(product, first.train_workflow.network_def.state_dict())

    copy_model_state(first.trainer.network, average)  # as the page writes the server's network into a file
    saved = first.train_workflow.network_def.state_dict()
    assert all(any(torch.equal(value, sent) for sent in average.values()) for value in saved.values())

    with pytest.raises(ValueError, match="expected a round within the 4 steps of the plan"):
        first.train(ExchangeObject(weights=copied(average)))
    for made in (first, second):
        made.finalize()


def test_a_client_that_starts_again_takes_the_weights_it_is_sent(overrides: Callable[..., dict]) -> None:
    """Not those of the checkpoint that lies in its folder."""
    given = overrides("cpc3d")
    before = client(ROOT / "cpc3d", "a", given)
    start = copied(before.get_weights().weights)
    _, sent = train(before, start)
    before.finalize()
    after = client(ROOT / "cpc3d", "a", given)
    half = {key: (start[key] + sent[key]) / 2 for key in start}
    began, _ = train(after, half)
    assert equal(began, half)
    after.finalize()


def test_without_restart_the_guard_says_what_to_do(overrides: Callable[..., dict]) -> None:
    """MONAI changes max_epochs after the first look, so the guard takes it for another run."""
    given = {**overrides("cpc3d"), "steps": 4, "steps_per_epoch": 2, "run_name": "a"}
    made = MonaiAlgo(str(ROOT / "cpc3d"), train_kwargs=given, config_evaluate_filename=None)
    with pytest.raises(GuardError, match="--restart True"):
        made.initialize()
