"""The second item of a sample: whose it is, how it is drawn, and that it changes nothing else."""

from __future__ import annotations

import pickle
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
import torch
from monai.transforms import Compose, NormalizeIntensityd, RandFlipd, RandGaussianNoised, RandSpatialCropd

from medvol.data import StreamDataset, collate_stream, stream_loader
from medvol.data.partner import Partners, with_partner
from medvol.transforms import RandReadCropd, RandVolumeFusiond

PATIENTS = [3, 3, 5, 3, 7, 5, 7]


def items() -> list[dict]:
    """Volumes of three patients in no order, each with a mean of its own."""
    generator = torch.Generator().manual_seed(0)
    return [
        {"image": torch.rand(1, 8, 9, 7, generator=generator), "patient": patient, "case": f"c{number}"}
        for number, patient in enumerate(PATIENTS)
    ]


def dataset(folder: Path, partner: str | None = "patient", random: list | None = None, **more) -> StreamDataset:
    chain = random if random is not None else [RandFlipd("image", 0.5), RandGaussianNoised("image", 1.0)]
    return StreamDataset(items(), Compose([NormalizeIntensityd("image"), *chain]), 4, folder, partner=partner, **more)


def same(one: dict, other: dict) -> None:
    assert one.keys() == other.keys()
    for key, value in one.items():
        assert torch.equal(value, other[key]) if isinstance(value, torch.Tensor) else value == other[key], key


def test_every_item_of_another_patient_is_as_likely() -> None:
    partners = Partners(PATIENTS, seed=1)
    for index in (0, 2, 6):  # one of each patient
        counts = Counter(partners.index(index, position) for position in range(300))
        others = {number for number, other in enumerate(PATIENTS) if other != PATIENTS[index]}
        assert set(counts) == others
        expected = 300 / len(others)
        assert sum((count - expected) ** 2 / expected for count in counts.values()) < 18  # p < 0.002, at most 4 degrees


def test_the_draw_depends_on_seed_and_position() -> None:
    draws = [[Partners(PATIENTS, seed).index(0, position) for position in range(40)] for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]
    assert Partners(PATIENTS, 0).index(-7, 10**12) == Partners(PATIENTS, 0).index(0, 10**12)


def test_a_partner_is_what_the_deterministic_part_made_of_its_item(tmp_path: Path) -> None:
    data, fixed = dataset(tmp_path), dataset(tmp_path, None, [])
    for position in range(7):
        sample = data[position % 7, position]
        index = int(sample["partner_case"][1:])
        assert sample["partner_patient"] == PATIENTS[index] != sample["patient"]
        assert torch.equal(sample["partner_image"], fixed[index]["image"])
        assert type(sample["partner_image"]) is torch.Tensor


def test_it_changes_no_bit_of_the_sample_itself(tmp_path: Path) -> None:
    plain, paired = dataset(tmp_path, None), dataset(tmp_path)
    for place in ((0, 0), (4, 11), (6, 10**12)):
        sample = paired[place]
        same({key: value for key, value in sample.items() if not key.startswith("partner_")}, plain[place])


def test_ranks_and_a_restart_draw_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = list(islice(stream_loader(dataset(tmp_path), 4, seed=0), 4))
    monkeypatch.setattr("medvol.distributed.world_size", lambda: 2)
    parts = []
    for rank in range(2):
        monkeypatch.setattr("medvol.distributed.rank", lambda rank=rank: rank)
        loader = stream_loader(pickle.loads(pickle.dumps(dataset(tmp_path))), 4, seed=0)
        loader.stream.start_batch = 1
        parts.append(list(islice(loader, 3)))
    for expected, left, right in zip(whole[1:], *parts, strict=True):
        for key in ("image", "partner_image", "partner_patient"):
            assert torch.equal(torch.cat([left[key], right[key]]), expected[key])


def test_chunks_and_whole_volumes_give_the_same(tmp_path: Path) -> None:
    def crops(folder: str, chunked_from: int, crop: type) -> StreamDataset:
        chain = [crop("image", (4, 4, 4), random_size=False), crop("partner_image", (4, 4, 4), random_size=False)]
        return dataset(tmp_path / folder, random=[*chain, RandVolumeFusiond("image")], chunked_from=chunked_from)

    chunked, whole = crops("a", 0, RandReadCropd), crops("b", 10**9, RandSpatialCropd)
    for place in ((0, 0), (2, 9)):
        same(chunked[place], whole[place])
        assert chunked[place]["image"].shape == (1, 4, 4, 4)


def test_shards_give_the_same(tmp_path: Path) -> None:
    pytest.importorskip("webdataset", reason="writing shards needs the extra 'scale'")
    from medvol.data.shard_writer import write_shards

    folder = write_shards(dataset(tmp_path), tmp_path / "shards", samples_per_shard=3)
    sharded = dataset(tmp_path, shards=folder)
    for place in ((0, 5), (6, 1)):
        same(sharded[place], dataset(tmp_path)[place])


def test_changes_in_place_reach_no_partner(tmp_path: Path) -> None:
    item = {"image": torch.zeros(1, 2, 2, 2)}
    rows = [{**item, "patient": 0}, {**item, "patient": 1}]
    chain = Compose([lambda d: {**d, "image": d["image"].add_(1), "other": d["partner_image"].add_(2)}])
    data = StreamDataset(rows, chain, 0, tmp_path, partner="patient")
    for _ in range(2):
        assert (data[0]["image"].mean(), data[0]["other"].mean()) == (1, 2)


def test_annotations_of_a_partner_that_nothing_read_are_no_part_of_a_batch() -> None:
    named = {"image": torch.zeros(1), "partner_label": "a.nii.gz", "partner_targets": {"grade": 1}}
    batch = collate_stream([{**named, "partner_pretext": {}}, {"image": torch.zeros(1), "partner_label": ["b"]}])
    assert set(batch) == {"image"}


def test_what_has_no_partner_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"at least 2 of them; found only 3 in 2 items; take more patients"):
        StreamDataset([{"image": 0, "patient": 3}] * 2, Compose([]), 0, tmp_path, partner="patient")
    with pytest.raises(ValueError, match=r"partner must be a key of every item .* found 'subject', and keys image"):
        dataset(tmp_path, "subject")
    with pytest.raises(ValueError, match=r"values can be compared.*under 'image'.*name another key"):
        Partners([{"a": 1}, [2]], 0, "image")
    with pytest.raises(ValueError, match="at least 2 of them; found no item"):
        Partners([], 0)
    with pytest.raises(ValueError, match="found an empty data set"):
        stream_loader(StreamDataset([], Compose([]), 0, tmp_path, partner="patient"), 2, seed=0)


def test_keys_in_the_way_and_lists_are_refused() -> None:
    with pytest.raises(ValueError, match="found partner_image there; give them other names"):
        with_partner({"image": 1, "partner_image": 2}, {"image": 3})
    with pytest.raises(ValueError, match="must be a dict after its deterministic transforms; found a list"):
        with_partner([{"image": 1}], {"image": 3})


@pytest.mark.slow
def test_workers_draw_the_same(tmp_path: Path) -> None:
    alone, *others = (
        list(islice(stream_loader(dataset(tmp_path), 2, seed=3, num_workers=workers), 8)) for workers in (0, 1, 2)
    )
    for batches in others:
        for expected, found in zip(alone, batches, strict=True):
            same(found, expected)
