import pickle
import random
import sys
from itertools import islice

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.transforms import (
    Compose,
    EnsureTyped,
    Identityd,
    Lambdad,
    LoadImaged,
    MapTransform,
    NormalizeIntensityd,
    OneOf,
    RandFlipd,
    RandGaussianNoised,
    RandLambdad,
    RandomizableTransform,
    RandScaleIntensityd,
    RandSpatialCropd,
    RandSpatialCropSamplesd,
    ScaleIntensityd,
    Spacingd,
)

from medvol.data import Manifest, StreamDataset, collate_stream, stream_loader
from medvol.transforms import RandReadCropd


class CountedLoadd(MapTransform):
    """Load a tiny volume and count how often."""

    calls = 0

    def __init__(self, keys, factor=1.0):
        super().__init__(keys)
        self.factor = factor

    def __call__(self, data):
        CountedLoadd.calls += 1
        return {
            **data,
            **{key: LoadImaged(key, ensure_channel_first=True)(data)[key] * self.factor for key in self.keys},
        }


class RandRecordd(RandomizableTransform, MapTransform):
    """Leave two draws under ``label`` and a record under ``pretext``."""

    def __init__(self, keys="image"):
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, 1.0)

    def randomize(self, data=None):
        self.draw = self.R.uniform(size=2)

    def __call__(self, data):
        self.randomize()
        return {**data, "label": torch.as_tensor(self.draw), "pretext": {"draw": self.draw.tolist()}}


@pytest.fixture
def items(tmp_path):
    rng = np.random.RandomState(0)
    rows = []
    for name in "abcde":
        image = nib.Nifti1Image(rng.rand(8, 9, 10).astype("float32"), np.diag([1, 1, 1.5, 1]))
        nib.save(image, tmp_path / f"{name}.nii.gz")
        rows.append({"image": f"{name}.nii.gz", "patient": name})
    return Manifest("demo", tmp_path, ("t1",), {}, True, {"training": rows}).items("training")


def random_part():
    return [
        RandSpatialCropd("image", (6, 6, 6), random_size=False),
        RandFlipd("image", prob=0.5, spatial_axis=0),
        RandGaussianNoised("image", prob=1.0),
        OneOf([RandScaleIntensityd("image", 0.5, prob=1.0), RandGaussianNoised("image", prob=1.0, std=3.0)]),
        RandRecordd(),
    ]


def dataset(items, folder, seed=0, fixed=(), random=None):
    fixed = fixed or (LoadImaged("image", ensure_channel_first=True), NormalizeIntensityd("image"))
    return StreamDataset(items, Compose([*fixed, *(random_part() if random is None else random)]), seed, folder)


def same(one, other):
    assert one.keys() == other.keys()
    for key, value in one.items():
        assert torch.equal(value, other[key]) if isinstance(value, torch.Tensor) else value == other[key], key


# --- seeds ---


def test_a_sample_depends_on_seed_and_position_only(items, tmp_path):
    one, other = dataset(items, tmp_path / "c"), dataset(items, tmp_path / "d")
    torch.rand(3), np.random.rand(3)  # noqa: NPY002 - the global generators must not matter
    for place in ((0, 0), (0, 7), (3, 7), (1, 10**12)):
        first = one[place]
        one[2, 5]
        same(one[place], first)
        same(other[place], first)
    assert not torch.equal(one[0, 0]["image"], one[0, 5]["image"])
    assert not torch.equal(one[0, 0]["label"], dataset(items, tmp_path / "c", seed=1)[0, 0]["label"])


def test_an_index_alone_is_its_own_position(items, tmp_path):
    data = dataset(items, tmp_path / "c")
    same(data[3], data[3, 3])
    same(data[-2], data[3])
    assert len(list(data)) == len(data[:]) == len(data[[0, 1, 2, 3, 4]]) == 5
    with pytest.raises(IndexError):
        data[5]
    with pytest.raises(IndexError):
        StreamDataset([], Compose([]), 0, tmp_path)[0]


def test_two_random_transforms_draw_differently(items, tmp_path):
    keys = {"x": torch.zeros(1, 50), "y": torch.zeros(1, 50)}
    noise = [RandGaussianNoised("x", prob=1.0), RandGaussianNoised("y", prob=1.0)]
    sample = StreamDataset([keys], Compose([Compose(noise)]), 0, tmp_path)[0]
    assert not torch.equal(sample["x"], sample["y"])


def test_draws_are_uniform_over_positions(items, tmp_path):
    data = StreamDataset([{"image": torch.zeros(1)}], Compose([RandRecordd()]), 0, tmp_path)
    draws = torch.stack([data[0, position]["label"] for position in range(1000)])
    # Mean of 1000 uniform draws: standard deviation 0.0091; neighboring positions must not be related.
    assert torch.all((draws.mean(0) - 0.5).abs() < 0.05)
    assert abs(torch.corrcoef(torch.stack([draws[:-1, 0], draws[1:, 0]]))[0, 1]) < 0.16
    assert len({tuple(draw.tolist()) for draw in draws}) == 1000


def test_the_number_of_threads_changes_no_bit(tmp_path):
    volume = torch.rand(1, 96, 96, 96, generator=torch.Generator().manual_seed(0))
    before, samples = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            data = StreamDataset(
                [{"image": volume}], Compose([NormalizeIntensityd("image")]), 0, tmp_path / str(threads)
            )
            samples.append(data[0])
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    same(*samples)


# --- cache ---


def test_the_deterministic_part_runs_once_and_reads_as_it_was_made(items, tmp_path):
    CountedLoadd.calls = 0
    data = dataset(
        items,
        tmp_path / "c",
        fixed=(Compose([CountedLoadd("image"), Identityd("image")]), Spacingd("image", (1, 1, 1))),
    )
    first = [data[i] for i in range(5)]
    for i in range(5):
        same(data[i], first[i])
    same(
        dataset(items, tmp_path / "c", fixed=(CountedLoadd("image"), Identityd("image"), Spacingd("image", (1, 1, 1))))[
            0
        ],
        first[0],
    )
    assert CountedLoadd.calls == 5
    assert len(list((tmp_path / "c").glob("*.pt"))) == 5


def test_a_changed_transform_reads_no_stale_entry(items, tmp_path):
    values = [
        dataset(items, tmp_path / "c", fixed=(CountedLoadd("image", factor),), random=[])[0]["image"].sum()
        for factor in (1.0, 2.0, 1.0)
    ]
    assert values[1] == 2 * values[0] == 2 * values[2]


def test_a_changed_file_reads_no_stale_entry(items, tmp_path):
    manifest = Manifest("demo", tmp_path, ("t1",), {}, True, {"training": [{"image": "a.nii.gz", "patient": "a"}]})
    load = (LoadImaged("image", ensure_channel_first=True),)
    before = dataset(manifest.items("training"), tmp_path / "c", fixed=load, random=[])[0]["image"]
    nib.save(nib.Nifti1Image(np.ones((8, 9, 10), "float32"), np.eye(4)), tmp_path / "a.nii.gz")
    after = dataset(manifest.items("training"), tmp_path / "c", fixed=load, random=[])[0]["image"]
    assert torch.all(after == 1)
    assert not torch.equal(before, after)


def test_random_wrappers_are_not_cached(tmp_path):
    # In MONAI a OneOf is a Compose; caching it would freeze the first draw for every later sample.
    one_of = OneOf([RandScaleIntensityd("image", 0.9, prob=1.0), RandScaleIntensityd("image", 0.1, prob=1.0)])
    for transforms in (
        [one_of],
        one_of,
        [Identityd("image"), Compose([Compose([RandGaussianNoised("image", prob=1.0)])])],
    ):
        data = StreamDataset([{"image": torch.ones(1, 4)}], transforms, 0, tmp_path)
        assert len({tuple(data[0, position]["image"].flatten().tolist()) for position in range(8)}) == 8


def test_what_is_no_transform_is_not_cached(tmp_path):
    calls = []
    data = StreamDataset([{"image": torch.ones(1)}], [lambda x: calls.append(1) or x], 0, tmp_path / "c")
    data[0], data[0]
    assert len(calls) == 2
    assert not (tmp_path / "c").exists()


def test_changes_in_place_reach_neither_data_nor_cache(tmp_path):
    class AddInPlace(RandomizableTransform):
        def __call__(self, data):
            data["image"].add_(1)
            return data

    for fixed in ([], [Identityd("image")]):
        item = {"image": torch.zeros(1, 3)}
        data = StreamDataset([item], Compose([*fixed, AddInPlace()]), 0, tmp_path)
        for _ in range(3):
            assert data[0]["image"].tolist() == [[1, 1, 1]]
        assert item["image"].sum() == 0


def test_no_metadata_leave(items, tmp_path):
    data = dataset(items, tmp_path / "c")
    for _ in range(2):
        assert type(data[0]["image"]) is torch.Tensor
        assert data[0]["image"].shape == (1, 6, 6, 6)
        assert set(data[0]) == {"image", "label", "patient", "case", "identity", "pretext"}


def test_the_default_folder_follows_the_environment(items, tmp_path, monkeypatch):
    monkeypatch.setenv("MEDVOL_CACHE", str(tmp_path / "root"))
    dataset(items, None)[0]
    assert len(list((tmp_path / "root/volumes").glob("*.pt"))) == 1


def test_impossible_data_sets_are_refused(items, tmp_path):
    with pytest.raises(ValueError, match="0 or more; found -1"):
        dataset(items, tmp_path, seed=-1)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"folder it can write to.*MEDVOL_CACHE"):
        dataset(items, tmp_path / "file/cache")


# --- loader ---


def batches(loader, count, start=0):
    loader.stream.start_batch = start
    return list(islice(loader, count))


def test_the_loader_gives_the_stream(items, tmp_path):
    data = dataset(items, tmp_path / "c")
    loader = stream_loader(data, 2, seed=3)
    found = batches(loader, 6)
    for number, batch in enumerate(found):
        places = loader.stream.batch(number)
        assert batch["patient"].tolist() == [index for index, _ in places]
        assert torch.equal(batch["image"], torch.stack([data[place]["image"] for place in places]))
        assert "pretext" not in batch
        assert batch["image"].shape == (2, 1, 6, 6, 6)
    for expected, again in zip(found[4:], batches(loader, 2, start=4), strict=True):
        same(again, expected)


def test_loading_leaves_the_global_generators_alone(items, tmp_path):
    loader = stream_loader(dataset(items, tmp_path / "c"), 2, seed=0)
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    batches(loader, 2)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002


def test_ranks_share_the_global_batch(items, tmp_path, monkeypatch):
    data = dataset(items, tmp_path / "c")
    whole = batches(stream_loader(data, 4, seed=0), 2)
    monkeypatch.setattr("medvol.distributed.world_size", lambda: 2)
    parts = []
    for rank in range(2):
        monkeypatch.setattr("medvol.distributed.rank", lambda rank=rank: rank)
        parts.append(batches(stream_loader(data, 4, seed=0), 2))
    for expected, left, right in zip(whole, *parts, strict=True):
        assert torch.equal(torch.cat([left["image"], right["image"]]), expected["image"])
    with pytest.raises(ValueError, match="multiple of 2; found 3"):
        stream_loader(data, 3, seed=0)


def test_an_empty_data_set_is_refused_before_anything_starts(tmp_path):
    with pytest.raises(ValueError, match=r"at least one example; found an empty data set; check"):
        stream_loader(StreamDataset([], Compose([]), 0, tmp_path), 2, seed=0)


def test_several_samples_of_one_item(items, tmp_path):
    crops = RandSpatialCropSamplesd("image", (4, 4, 4), num_samples=3, random_size=False)
    (batch,) = batches(stream_loader(dataset(items, tmp_path / "c", random=[crops, RandRecordd()]), 2, seed=0), 1)
    assert batch["image"].shape == (6, 1, 4, 4, 4)
    assert "pretext" not in batch


def test_collation_drops_records_and_nones():
    rows = [{"image": torch.ones(2), "label": None, "pretext": {"class": "left"}, "patient": 1}] * 2
    assert set(collate_stream(rows)) == {"image", "patient"}
    with pytest.raises(ValueError, match="label is missing in some"):
        collate_stream([{"label": 1}, {"label": None}])


def test_everything_can_be_sent_to_a_worker(items, tmp_path):
    data = pickle.loads(pickle.dumps(dataset(items, tmp_path / "c")))
    same(data[1, 9], dataset(items, tmp_path / "c")[1, 9])
    pickle.dumps(stream_loader(data, 2, seed=0).stream)


@pytest.mark.slow
@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_workers_change_nothing(items, tmp_path, context):
    alone = batches(stream_loader(dataset(items, tmp_path / "c"), 2, seed=3), 8)
    loader = stream_loader(dataset(items, tmp_path / "d"), 2, seed=3, num_workers=2)
    loader.multiprocessing_context = context
    for expected, found in zip(alone, batches(loader, 8), strict=True):
        same(found, expected)
    for expected, found in zip(alone[5:], batches(loader, 3, start=5), strict=True):  # the workers persist
        same(found, expected)


def test_a_lazy_chain_is_another_entry(items, tmp_path):
    fixed = [
        LoadImaged("image", ensure_channel_first=True),
        Spacingd("image", (1, 1, 1)),
        Spacingd("image", (1.3, 1, 1)),
    ]
    eager, lazy = (
        StreamDataset(
            items, Compose([*fixed, EnsureTyped("image"), RandFlipd("image", prob=0)], lazy=lazy), 0, tmp_path
        )
        for lazy in (False, True)
    )
    eager[0], lazy[0]
    assert len(list(tmp_path.glob("*.pt"))) == 2


def test_scaling_in_the_suffix_is_not_cached(items, tmp_path):
    data = dataset(
        items,
        tmp_path / "c",
        random=[RandFlipd("image", prob=0), ScaleIntensityd("image"), Lambdad("image", torch.abs)],
    )
    stored = torch.load(
        next((tmp_path / "c").glob("*.pt"), None) or _first_entry(data, tmp_path / "c"), weights_only=True
    )
    assert stored["image"].min() < 0 <= data[0]["image"].min()


def _first_entry(data, folder):
    data[0]
    return next(folder.glob("*.pt"))


# --- chunks ---


def reading(items, folder, chunked_from, seed=0, transform=None):
    fixed = [LoadImaged("image", ensure_channel_first=True), NormalizeIntensityd("image")]
    cut = transform or RandReadCropd("image", (4, 4, 4))
    return StreamDataset(items, Compose([*fixed, cut, *random_part()[1:]]), seed, folder, chunked_from=chunked_from)


def test_chunks_change_no_bit(items, tmp_path):
    plain = reading(items, tmp_path / "a", 10**9, transform=RandSpatialCropd("image", (4, 4, 4)))
    whole, chunked = reading(items, tmp_path / "b", 10**9), reading(items, tmp_path / "c", 0)
    for place in ((0, 0), (0, 7), (3, 8), (0, 7)):
        same(chunked[place], plain[place])
        same(whole[place], plain[place])
        assert type(chunked[place]["image"]) is torch.Tensor
    assert chunked._load(items[0])["image"].shape == (1, 8, 9, 10)
    assert not isinstance(chunked._load(items[0])["image"], torch.Tensor)
    assert isinstance(whole._load(items[0])["image"], torch.Tensor)


def test_only_a_first_transform_that_reads_parts_gets_them(items, tmp_path):
    reading(items, tmp_path / "c", 0)[0]
    for cut in (RandSpatialCropd("image", (4, 4, 4)), Compose([RandFlipd("image"), RandReadCropd("image", (4, 4, 4))])):
        other = reading(items, tmp_path / "c", 0, transform=cut)
        assert isinstance(other._load(items[0])["image"], torch.Tensor)
        assert other[0]["image"].shape == (1, 4, 4, 4)
        other[1]  # not there yet: stored whole
    assert isinstance(reading(items, tmp_path / "c", 0)._load(items[1])["image"], torch.Tensor)
    assert len(list((tmp_path / "c").glob("*.pt"))) == 2


def test_a_wrong_bound_is_refused_at_once(items, tmp_path, monkeypatch):
    monkeypatch.setenv("MEDVOL_CACHE_SIZE", "lots")
    with pytest.raises(ValueError, match=r"MEDVOL_CACHE_SIZE, a size must be .*found 'lots'"):
        dataset(items, tmp_path / "c")


@pytest.mark.slow
def test_workers_change_nothing_in_chunks(items, tmp_path):
    streams = [
        batches(stream_loader(reading(items, tmp_path / f"{workers}", 0), 2, seed=3, num_workers=workers), 8)
        for workers in (0, 1, 2)
    ]
    for expected, *others in zip(*streams, strict=True):
        for found in others:
            same(found, expected)


def draw_globally(image):
    return image + torch.rand(1) + np.random.random() + random.random()  # noqa: NPY002


def test_transforms_that_draw_from_the_global_generators_are_seeded_too_and_leave_them_alone(tmp_path):
    transform = Compose([RandLambdad("image", func=draw_globally, prob=1.0)])
    dataset = StreamDataset([{"image": torch.zeros(1, 2, 2, 2)}], transform, 0, tmp_path)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one = dataset[0, 3]["image"]
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(6)
    np.random.seed(6)  # noqa: NPY002
    assert torch.equal(dataset[0, 3]["image"], one)
    assert not torch.equal(dataset[0, 4]["image"], one)


def test_the_entry_of_an_item_is_where_it_is_kept(tmp_path):
    items = [{"image": torch.rand(1, 4, 4, 4)} for _ in range(2)]
    data = StreamDataset(items, Compose([ScaleIntensityd("image"), RandFlipd("image")]), 0, tmp_path)
    assert not data.entry(0).exists()
    data[0]
    assert list(tmp_path.glob("*.pt")) == [data.entry(0)]
    assert data.entry(1) != data.entry(0)
    assert StreamDataset(items, RandFlipd("image"), 0, tmp_path).entry(0) is None, "nothing is kept"


def test_the_images_of_a_patient_are_kept_apart(tmp_path):
    rows = [{"image": torch.full((1,), float(i)), "patient": i // 3} for i in range(9)]
    data = StreamDataset(rows, Compose([]), 0, tmp_path)
    for batch in batches(stream_loader(data, 2, seed=0, apart="patient"), 20):
        assert len(set(batch["patient"].tolist())) == 2
    together = [set(batch["patient"].tolist()) for batch in batches(stream_loader(data, 2, seed=0), 20)]
    assert any(len(patients) == 1 for patients in together), "the test has power"


def test_items_that_cannot_be_kept_apart_are_refused(tmp_path):
    rows = [{"image": torch.zeros(1), "patient": 3}] * 4
    data = StreamDataset(rows, Compose([]), 0, tmp_path)
    with pytest.raises(ValueError, match="found 'subject', and keys image, patient; items of a manifest"):
        stream_loader(data, 2, seed=0, apart="subject")
    with pytest.raises(ValueError, match="found 1 group, and 4 examples of 3"):
        stream_loader(data, 2, seed=0, apart="patient")
    with pytest.raises(ValueError, match="found 'patient', and no items with keys"):
        stream_loader(StreamDataset([torch.zeros(1)], Compose([]), 0, tmp_path), 2, seed=0, apart="patient")


def test_annotations_that_no_transform_has_read_are_no_part_of_a_batch() -> None:
    """Of partly labelled data some samples name a file, and a pretext task needs none."""
    named = {"image": torch.zeros(1, 2), "label": "a.nii.gz", "targets": {"grade": "mild"}, "patient": 0}
    plain = {"image": torch.zeros(1, 2), "patient": 1}
    assert sorted(collate_stream([named, plain, {**plain, "label": ["b.nii.gz"]}])) == ["image", "patient"]
    read = {**plain, "label": torch.ones(1)}
    assert collate_stream([read, read])["label"].shape == (2, 1)
    with pytest.raises(ValueError, match="label is missing in some"):
        collate_stream([read, plain])


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exceptions have no notes in Python 3.10")
def test_who_it_was_is_said_when_a_sample_cannot_be_made(tmp_path) -> None:
    rows = [{"image": torch.zeros(1, 4), "patient": number, "case": f"case{number}"} for number in (0, 1)]
    broken = Compose([RandFlipd("image", spatial_axis=2, prob=1.0)])
    for partner, words in ((None, "case 'case1', patient 1"), ("patient", "patient 1, partner_case 'case0'")):
        data = StreamDataset(rows, broken, 0, tmp_path, partner=partner)
        with pytest.raises(RuntimeError, match="applying transform") as error:
            data[1, 0]
        assert any(words in note for note in error.value.__notes__)
