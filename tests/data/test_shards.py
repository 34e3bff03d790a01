import io
import json
import pickle
from itertools import islice

import numpy as np
import pytest
import torch
from monai.transforms import (
    Compose,
    MapTransform,
    RandFlipd,
    RandGaussianNoised,
    RandomizableTransform,
    ScaleIntensityd,
)

from medvol.data import StreamDataset, stream_loader
from medvol.data.chunked import ChunkedArray
from medvol.data.shard_writer import write_shards
from medvol.data.shards import open_shards, verify_shards

pytest.importorskip("webdataset", reason="writing shards needs the extra 'scale'")


class Countedd(MapTransform):
    """Pass on and count."""

    calls = 0

    def __call__(self, data):
        Countedd.calls += 1
        return dict(data)


class RandPartd(RandomizableTransform, MapTransform):
    """Cut a part, whose place is drawn, out of a volume or its chunks."""

    reads_parts = True
    seen = None

    def __init__(self, keys="image"):
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, 1.0)

    def __call__(self, data):
        start = int(self.R.randint(4))
        RandPartd.seen = type(data["image"])
        return {**data, "image": data["image"][:, start : start + 4, :4, :4]}


def items(count=11):
    generator = torch.Generator().manual_seed(0)
    return [
        {"image": torch.rand(1, 8, 8, 8, generator=generator), "case": f"c{n}", "patient": n // 2} for n in range(count)
    ]


def dataset(data, tmp_path, shards=None, first=None, random=None):
    first = first if first is not None else [Countedd("image"), ScaleIntensityd("image")]
    random = random if random is not None else [RandFlipd("image", 0.5), RandGaussianNoised("image", 1.0)]
    return StreamDataset(data, Compose([*first, *random]), 3, tmp_path / "cache", chunked_from=1024, shards=shards)


def same(one, other):
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and one.shape == other.shape and torch.equal(one, other)
    if isinstance(one, (list, tuple)):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    return type(one) is type(other) and (one == other or one != one)


def stream(data, workers, batches=8):
    loader = stream_loader(data, 4, 5, workers)
    return [{key: batch[key] for key in ("image", "case", "patient")} for batch in islice(loader, batches)]


def test_shards_give_the_samples_of_the_cache(tmp_path):
    plain = dataset(items(), tmp_path)
    folder = write_shards(plain, tmp_path / "shards", samples_per_shard=4)
    shards = open_shards(folder)
    assert shards.sizes == [4, 4, 3]
    assert len(shards) == 11
    Countedd.calls = 0
    sharded = dataset(items(), tmp_path, folder)
    assert all(same(sharded[i, 70 + i], dict(plain[i, 70 + i])) for i in (10, 0, 5, 3, -1))
    assert Countedd.calls == 4  # the cache's entries; shards hold theirs
    changed = sharded.shards.read(2)
    changed["image"].zero_()
    assert sharded.shards.read(2)["image"].any()
    assert verify_shards(folder) == []
    assert len(pickle.dumps(sharded)) < 100_000
    with pytest.raises(IndexError):
        shards.read(11)


def test_the_stream_is_the_same_for_any_workers_and_after_a_restart(tmp_path):
    folder = write_shards(dataset(items(), tmp_path), tmp_path / "shards", samples_per_shard=2)
    sharded = dataset(items(), tmp_path, folder)
    loader = stream_loader(sharded, 4, 5)
    assert loader.stream.blocks.tolist() == [2] * 5 + [1]
    expected = stream(sharded, 0)
    loader.stream.start_batch = 3
    assert all(map(same, [b["image"] for b in islice(loader, 5)], [b["image"] for b in expected[3:]]))
    cases = [case for batch in expected for case in batch["case"]]
    assert sorted(cases[:11]) == sorted(cases[11:22]) == sorted(f"c{n}" for n in range(11))


@pytest.mark.slow
def test_the_stream_is_the_same_in_two_workers_and_from_two_writers(tmp_path):
    first = [ScaleIntensityd("image")]
    plain = dataset(items(), tmp_path, first=first)
    folder = write_shards(plain, tmp_path / "shards", 2, jobs=2)
    assert json.loads((folder / "shards.json").read_text()) == json.loads(
        (write_shards(plain, tmp_path / "again", 2) / "shards.json").read_text()
    )
    sharded = dataset(items(), tmp_path, folder, first=first)
    expected = stream(sharded, 0)
    for workers in (1, 2):
        assert all(map(same, stream(sharded, workers), expected))


def test_large_volumes_are_read_in_parts(tmp_path):
    plain = dataset(items(3), tmp_path, random=[RandPartd()])
    folder = write_shards(plain, tmp_path / "shards")
    sharded = dataset(items(3), tmp_path, folder, random=[RandPartd()])
    assert same(plain[1, 7], sharded[1, 7])
    assert RandPartd.seen is ChunkedArray
    whole = dataset(items(3), tmp_path, folder)  # the same deterministic part
    assert whole[1, 7]["image"].shape == (1, 8, 8, 8)


def test_other_programs_read_the_shards(tmp_path):
    from webdataset.tariterators import group_by_keys, tar_file_expander

    folder = write_shards(dataset(items(3), tmp_path), tmp_path / "shards")
    with (folder / "shard-000000.tar").open("rb") as stream:
        found = list(group_by_keys(tar_file_expander([{"url": "a shard", "stream": stream}])))
    sharded = open_shards(folder)
    assert [json.loads(one["json"])["case"] for one in found] == ["c0", "c1", "c2"]
    for number, one in enumerate(found):
        np.testing.assert_array_equal(np.load(io.BytesIO(one["image.npy"])), sharded.read(number)["image"].numpy())


def test_shards_stand_in_for_their_sources(tmp_path):
    data = items()
    folder = write_shards(dataset(data, tmp_path), tmp_path / "shards", 4)
    alone = dataset(None, tmp_path, folder)
    assert alone.data[1:3] == [
        {"shard_key": alone.data[n]["shard_key"], "case": f"c{n}", "patient": n // 2} for n in (1, 2)
    ]
    assert all(same(a, b) for a, b in zip(stream(alone, 0), stream(dataset(data, tmp_path, folder), 0), strict=True))
    other = write_shards(dataset(items(11)[::-1], tmp_path), tmp_path / "other", 4)
    with pytest.raises(ValueError, match="must be of item 'c0' as it is now; found another content, of item 'c10'"):
        dataset(open_shards(folder).items(), tmp_path, other)
    with pytest.raises(ValueError, match="data must be a list of items unless shards are named"):
        dataset(None, tmp_path)


def test_shards_of_something_else_are_refused(tmp_path, monkeypatch):
    folder = write_shards(dataset(items(), tmp_path), tmp_path / "shards", 4)
    with pytest.raises(ValueError, match=r"the data set's own deterministic transforms .* write shards into another"):
        dataset(items(), tmp_path, folder, first=[ScaleIntensityd("image", maxv=2.0)])
    with pytest.raises(ValueError, match="one sample for each of the 5 items; found 11"):
        dataset(items(5), tmp_path, folder)
    changed = items()
    changed[7]["image"] += 1
    with pytest.raises(ValueError, match=r"sample 7 .* must be of item 'c7' as it is now"):
        dataset(changed, tmp_path, folder)
    monkeypatch.setattr("medvol.data.shards._SAMPLE", 0)
    late = dataset(changed, tmp_path, folder)
    assert late[6] is not None
    with pytest.raises(ValueError, match=r"sample 7 .* must be of item 'c7' as it is now"):
        late[7]
    monkeypatch.undo()
    with pytest.raises(ValueError, match="must be of item"):
        write_shards(late, folder)


def test_damage_is_named(tmp_path):
    folder = write_shards(dataset(items(), tmp_path), tmp_path / "shards", 4)
    file = folder / "shard-000001.tar"
    content = file.read_bytes()
    shards = open_shards(folder)
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"shard-000001.tar must be \d+ bytes; found \d+; delete it and shards.json"):
        open_shards(folder)
    with pytest.raises(ValueError, match=r"shard-000001.tar must be a sample at place 7; found"):
        shards.read(7)
    damaged = bytearray(content)
    damaged[700] ^= 1
    file.write_bytes(damaged)
    open_shards(folder)
    assert len(wrong := verify_shards(folder)) == 1
    assert "shard-000001.tar must be SHA-256" in wrong[0]
    file.unlink()
    with pytest.raises(FileNotFoundError, match=r"shard-000001.tar is missing; copy it again"):
        open_shards(folder)
    assert "found no file" in verify_shards(folder)[0]
    file.write_bytes(content)
    (folder / "shard-000002.json").write_text("{}")
    with pytest.raises(ValueError, match=r"shard-000002.json must be SHA-256"):
        open_shards(folder).read(10)
    for text, message in (("no", "an index of shards"), ('{"medvol_shards": 9}', "format 1; found format 9")):
        (folder / "shards.json").write_text(text)
        with pytest.raises(ValueError, match=message):
            open_shards(folder)
