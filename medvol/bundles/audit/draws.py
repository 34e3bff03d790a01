"""Samples of a pretext task, volume by volume: of fixtures, or of a bundle's own data."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from copy import deepcopy
from itertools import count
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.transforms import Compose

from medvol.data.partner import with_partner

from .fixtures import FIXTURES
from .guessing import FEWEST
from .task import Task, task_chain

__all__ = ["LEARNING", "Draw", "FewPatientsError", "fixture_draws", "own_draws"]

LEARNING = 5  # volumes or patients to learn from, at least


class FewPatientsError(ValueError):
    """There are too few patients to learn from some and to be tested on others."""


Draw = tuple[int, Mapping[str, Any]]
"""Number of the volume or patient, and the sample as the network gets it."""


def fixture_draws(
    parser: ConfigParser, task: Task, fixture: str, seed: int, testing: bool, turns: int = 2
) -> Iterator[Draw]:
    """Send one synthetic volume after another through the task's chain, behind the transforms that read files.

    A volume comes with the voxel size that the chain resamples to and with its axes in anatomical order, so that
    turning and resampling leave it alone. Samples depend on the seed, the fixture and their number only.

    Args:
        parser: of a bundle that :func:`medvol.bundles.audit.task.find_task` has been through.
        task: what it found.
        fixture: one of ``FIXTURES``.
        seed: 0 or more.
        testing: whether to draw from the second half of the volumes, of which none is in the first.
        turns: draws from one volume; its normalization takes longer than cutting it.

    Yields:
        Endless draws.

    Raises:
        Exception: whatever a transform raises.
    """
    fixed, random_parts, spacing = task_chain(parser)
    is_padded = fixture == "padded"
    shape = task.padded_shape if is_padded else task.shape
    more = {"border": task.border} if is_padded else {}
    needs_partner = bool(parser.config["train"].get("dataset", {}).get("partner"))

    def prepared(drawn: int, number: int) -> dict[str, Any]:
        volume = FIXTURES[fixture](shape, seed=drawn, channels=task.channels, **more)
        image = MetaTensor(volume, affine=_affine(spacing))
        return fixed({"image": image, "case": f"{fixture}-{number}", "patient": number})

    for number in count():
        drawn = _seed(seed, list(FIXTURES).index(fixture), int(testing), number)
        item = prepared(drawn, number)
        if needs_partner:
            item = with_partner(item, prepared(_seed(drawn, number), number))
        for turn in range(turns):
            yield number, _seeded(random_parts, deepcopy(item), _seed(drawn, turn))


def own_draws(parser: ConfigParser, seed: int, testing: bool) -> Iterator[Draw]:
    """Draw from the data set that training reads, its patients dealt out: some to learn from, others to be tested on.

    Args:
        parser: of a bundle that :func:`medvol.bundles.audit.task.find_task` has been through.
        seed: 0 or more; who learns and who is tested depends on it.
        testing: whether to draw from those to be tested on: half of all, and at least 10.

    Yields:
        Endless draws: each patient's images in turn, and then again with other random numbers.

    Raises:
        FewPatientsError: there are fewer than 15 patients.
        Exception: whatever a data set or a transform raises.
    """
    dataset = parser.get_parsed_content("train::dataset")
    patients = [item.get("patient", index) for index, item in enumerate(dataset.data)]
    people = list(dict.fromkeys(patients))
    if len(people) < FEWEST + LEARNING:
        raise FewPatientsError(
            f"an audit of your data needs at least {FEWEST + LEARNING} patients, {FEWEST} of them to be tested on; "
            f"found {len(people)} in training; audit the fixtures instead, or add patients"
        )
    order = np.random.RandomState(_seed(seed)).permutation(len(people))
    tested = max(FEWEST, len(people) // 2)
    chosen = {people[place] for place in (order[:tested] if testing else order[tested:])}
    indices = [index for index, patient in enumerate(patients) if patient in chosen]
    for position in count(int(testing), 2):
        index = indices[(position // 2) % len(indices)]
        sample = dataset[index, position]
        yield people.index(patients[index]), _single(sample)


def _seeded(chain: Compose, item: dict[str, Any], seed: int) -> Mapping[str, Any]:
    chain.set_random_state(seed=seed)
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)
    return _single(chain(item))


def _single(drawn: Any) -> Mapping[str, Any]:
    return _single(drawn[0]) if isinstance(drawn, list) else drawn


def _affine(spacing: tuple[float, ...]) -> torch.Tensor:
    sizes = [*spacing[:3], 1.0, 1.0, 1.0][:3]
    return torch.diag(torch.tensor([*sizes, 1.0], dtype=torch.float64))


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1)[0])
