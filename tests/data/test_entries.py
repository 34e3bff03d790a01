import pytest
import torch

from medvol.data.chunked import ChunkedArray
from medvol.data.entries import mapped, read_entry, refusal, write_entry


def value():
    image = torch.arange(2.0 * 12**3).reshape(2, 12, 12, 12)
    return {
        "image": image,
        "label": (image[:1] > 900).to(torch.uint8),
        "pair": (image.to(torch.bfloat16), [image[0] + 1, 3]),
        "flat": image.flatten(),
        "none": None,
        "patient": 3,
        "empty": torch.zeros(1, 0, 3),
    }


def same(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return type(one) is type(other) and all(map(same, one, other))
    if isinstance(one, torch.Tensor):
        return one.dtype is other.dtype and torch.equal(one, other)
    return one == other


def whole(found):
    return mapped(found, lambda end: end.whole() if isinstance(end, ChunkedArray) else end)


@pytest.mark.parametrize("chunked_from", [None, 0, 10_000, 10**9])
def test_writing_and_reading_is_the_identity(tmp_path, chunked_from):
    size = write_entry(tmp_path / "a.pt", value(), chunked_from)
    assert size == (tmp_path / "a.pt").stat().st_size
    assert same(whole(read_entry(tmp_path / "a.pt")), value())
    assert [file.name for file in tmp_path.iterdir()] == ["a.pt"]


def test_the_size_of_the_largest_volume_decides(tmp_path):
    def kinds(chunked_from):
        write_entry(tmp_path / "a.pt", value(), chunked_from)
        found = read_entry(tmp_path / "a.pt")
        parts = [found["image"], found["label"], found["pair"][0], found["pair"][1][0], found["flat"], found["empty"]]
        return [isinstance(part, ChunkedArray) for part in parts]

    size = value()["image"].nbytes
    assert kinds(size + 1) == kinds(None) == [False] * 6
    assert kinds(size) == [True, True, True, True, False, False]  # the label goes with its image


def test_damage_is_noticed(tmp_path):
    file = tmp_path / "a.pt"
    for chunked_from in (None, 0):
        write_entry(file, value(), chunked_from)
        good = file.read_bytes()
        for bad in (good[:-1], good[: len(good) // 2], good[:40], good[:10], good[:3], b"", b"nonsense" * 9):
            file.write_bytes(bad)
            with pytest.raises(ValueError, match=r"."):
                read_entry(file)
    file.write_bytes(good + b"x")
    with pytest.raises(ValueError, match=f"expected {len(good)} bytes, found {len(good) + 1}"):
        read_entry(file)
    file.write_bytes(good[:30] + b"\xff" * 500 + good[530:])
    with pytest.raises(ValueError, match=r"."):
        read_entry(file)
    file.unlink()
    with pytest.raises(FileNotFoundError):
        read_entry(file)


def test_a_failed_write_keeps_the_old_entry(tmp_path, monkeypatch):
    write_entry(tmp_path / "a.pt", {"n": 1})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("medvol.data.entries._write_parts", full)
    with pytest.raises(OSError, match=r"with room; .* refused .*No space left.*MEDVOL_CACHE") as error:
        write_entry(tmp_path / "a.pt", value(), 0)
    assert error.value.errno == 28
    assert read_entry(tmp_path / "a.pt") == {"n": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["a.pt"]


def test_no_other_error_is_taken_for_a_full_disk(tmp_path, monkeypatch):
    def wrong(*_):
        raise RuntimeError("something else")

    monkeypatch.setattr(torch, "save", wrong)
    with pytest.raises(RuntimeError, match="something else"):
        write_entry(tmp_path / "a.pt", {"n": 1})
    assert not list(tmp_path.iterdir())


def test_a_refusal_without_a_number():
    assert refusal("f", RuntimeError("x")).errno is None
