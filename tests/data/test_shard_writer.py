import errno
import tarfile

import pytest
import torch
from monai.transforms import (
    Compose,
    MapTransform,
    RandFlipd,
    RandGaussianNoised,
    ScaleIntensityd,
)
from torch.utils.data import DataLoader

from medvol.data import StreamDataset, shard_writer
from medvol.data.shard_sample import encode
from medvol.data.shard_writer import write_shards
from medvol.data.shards import open_shards

pytest.importorskip("webdataset", reason="writing shards needs the extra 'scale'")


class Countedd(MapTransform):
    """Pass on and count."""

    calls = 0

    def __call__(self, data):
        Countedd.calls += 1
        return dict(data)


def items(count=11):
    generator = torch.Generator().manual_seed(0)
    return [
        {"image": torch.rand(1, 8, 8, 8, generator=generator), "case": f"c{n}", "patient": n // 2} for n in range(count)
    ]


def dataset(data, tmp_path, shards=None, first=None, random=None):
    first = first if first is not None else [Countedd("image"), ScaleIntensityd("image")]
    random = random if random is not None else [RandFlipd("image", 0.5), RandGaussianNoised("image", 1.0)]
    return StreamDataset(data, Compose([*first, *random]), 3, tmp_path / "cache", chunked_from=1024, shards=shards)


def test_a_call_after_a_stop_keeps_what_is_finished(tmp_path):
    plain = dataset(items(), tmp_path)
    folder = write_shards(plain, tmp_path / "shards", 4)
    before = {file.name: file.read_bytes() for file in folder.glob("shard*")}
    Countedd.calls = 0
    assert write_shards(plain, folder, 4) == folder
    (folder / "shards.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"shards.json, which write_shards writes last; found none"):
        open_shards(folder)
    (folder / ".part-dead").write_bytes(b"half")
    damaged = bytearray(before["shard-000001.tar"])
    damaged[700] ^= 1
    (folder / "shard-000001.tar").write_bytes(damaged)
    (folder / "shard-000002.json").unlink()
    write_shards(plain, folder, 4)
    assert Countedd.calls == 4 + 3
    assert {file.name: file.read_bytes() for file in folder.glob("shard*") if file.name != "shards.json"} == {
        name: content for name, content in before.items() if name != "shards.json"
    }
    assert not list(folder.glob(".part-*"))
    (folder / "shards.json").unlink()
    changed = items()
    changed[0]["image"] += 1
    write_shards(dataset(changed, tmp_path), folder, 4)
    assert Countedd.calls == 4 + 3 + 4


def test_a_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch):
    def full(value, chunked_from):
        if value["case"] == "c6":
            raise OSError(errno.ENOSPC, "No space left on device")
        return encode(value, chunked_from)

    monkeypatch.setattr(shard_writer, "encode", full)
    with pytest.raises(OSError, match=r"shards need a folder .* No space left .* goes on where it stopped"):
        write_shards(dataset(items(), tmp_path), tmp_path / "shards", 4)
    assert sorted(f.name for f in (tmp_path / "shards").glob("[!.]*")) == ["shard-000000.json", "shard-000000.tar"]
    assert not list((tmp_path / "shards").glob(".part-*"))
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="shards need a folder that can be written to"):
        write_shards(dataset(items(), tmp_path), tmp_path / "file" / "shards")

    def readonly(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(shard_writer.tempfile, "mkstemp", readonly)
    with pytest.raises(OSError, match=r"shards need a folder that can be written to.*Permission denied"):
        write_shards(dataset(items(), tmp_path), tmp_path / "more")
    assert not list((tmp_path / "more").glob("shard*"))


@pytest.mark.parametrize(
    ("data", "first", "options", "message"),
    [
        ([], None, {}, "found no item"),
        (items(1), [], {}, "no deterministic transform at the beginning"),
        (items(1), None, {"samples_per_shard": 0}, "samples_per_shard must be a whole number from 1; found 0"),
        (items(1), None, {"jobs": 1.5}, "jobs must be a whole number from 1; found 1.5"),
    ],
)
def test_impossible_shards_are_refused(tmp_path, data, first, options, message):
    with pytest.raises(ValueError, match=message):
        write_shards(dataset(data, tmp_path, first=first), tmp_path / "shards", **options)
    assert not (tmp_path / "shards").exists()


def test_equal_samples_are_equal_files_and_members_are_plain(tmp_path):
    one, two = (write_shards(dataset(items(3), tmp_path), tmp_path / name) for name in ("one", "two"))
    assert (one / "shard-000000.tar").read_bytes() == (two / "shard-000000.tar").read_bytes()
    with tarfile.open(one / "shard-000000.tar") as source:
        assert source.getnames()[:2] == ["000000000.image.npy", "000000000.json"]
    assert DataLoader(dataset(items(3), tmp_path, one), batch_size=None) is not None
