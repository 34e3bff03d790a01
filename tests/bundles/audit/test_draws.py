from itertools import islice
from types import SimpleNamespace

import pytest
import torch

from medvol.bundles.audit.draws import fixture_draws, own_draws
from medvol.bundles.audit.task import find_task
from medvol.bundles.opening import open_bundle


@pytest.fixture
def small():
    opened = open_bundle("cpc3d", overrides={"crop_size": [12] * 3, "grid": [2] * 3, "patch_size": [4] * 3})
    return opened.parser, find_task(opened)


def test_draws_are_those_of_their_seed(small):
    first, again = ([*islice(fixture_draws(*small, "noise", 3, False), 4)] for _ in range(2))
    assert [unit for unit, _ in first] == [0, 0, 1, 1]
    for (_, one), (_, other) in zip(first, again, strict=True):
        assert torch.equal(one["image"], other["image"])
        assert one["pretext"] == other["pretext"]
    images = [sample["image"] for _, sample in first]
    for name, seed, testing in (("noise", 3, True), ("noise", 4, False), ("padded", 3, False)):
        images += [sample["image"] for _, sample in islice(fixture_draws(*small, name, seed, testing), 4)]
    everything = torch.stack(images).flatten(1)
    assert len(everything.unique(dim=0)) == 16  # nothing is drawn twice, and nobody is tested on what he learned from


def test_a_task_of_two_volumes_gets_a_partner(small):
    parser, task = small
    seen = []
    parser["train::preprocessing"] = [lambda item: seen.append(item) or item]
    parser["train::dataset"] = {"partner": "patient"}
    (unit, _), _ = islice(fixture_draws(parser, task, "noise", 0, False), 2)
    assert (unit, seen[-1]["patient"], seen[-1]["partner_patient"]) == (0, 0, 0)
    assert seen[-1]["partner_image"].shape == seen[-1]["image"].shape
    assert not torch.equal(seen[-1]["partner_image"], seen[-1]["image"])


def test_two_draws_of_a_volume_differ_in_what_is_random(small):
    (_, one), (_, other) = islice(fixture_draws(*small, "noise", 0, False), 2)
    assert one["pretext"] != other["pretext"]
    assert type(one["image"]) is torch.Tensor


class Items:
    """A data set that says what it was asked for."""

    def __init__(self, patients):
        self.data = [{"patient": patient} for patient in patients]

    def __getitem__(self, place):
        return [{"place": place}]


def own(patients, testing, count=60, seed=0):
    parser = SimpleNamespace(get_parsed_content=lambda key: Items(patients))
    return [*islice(own_draws(parser, seed, testing), count)]


def test_nobody_is_tested_on_a_patient_he_learned_from():
    patients = [number // 2 for number in range(60)]  # two images each
    learned, tested = own(patients, False), own(patients, True)
    assert {unit for unit, _ in learned} | {unit for unit, _ in tested} == {*range(30)}
    assert not {unit for unit, _ in learned} & {unit for unit, _ in tested}
    places = [sample["place"] for _, sample in learned + tested]
    assert len({position for _, position in places}) == 120  # each with random numbers of its own
    for unit, sample in learned + tested:
        assert patients[sample["place"][0]] == unit
    assert {unit for unit, _ in own(patients, False, seed=1)} != {unit for unit, _ in learned}


def test_few_patients_are_for_testing_first():
    assert len({unit for unit, _ in own(range(16), True)}) == 10
    assert len({unit for unit, _ in own(range(16), False)}) == 6
    with pytest.raises(ValueError, match="at least 15 patients, 10 of them to be tested on; found 14 in training"):
        own(range(14), True)
