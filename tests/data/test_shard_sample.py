import torch

from medvol.data.chunked import ChunkedArray
from medvol.data.shard_sample import decode, encode


def same(one, other):
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and one.shape == other.shape and torch.equal(one, other)
    if isinstance(one, (list, tuple)):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    return type(one) is type(other) and (one == other or one != one)


def test_a_sample_comes_back_as_it_was(tmp_path):
    kinds = [torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool, torch.complex64]
    value = {
        "image": torch.arange(24.0).reshape(1, 2, 3, 4),
        "kinds": [torch.arange(3).to(kind) for kind in kinds],
        "scalar": torch.tensor(1.5),
        "empty": torch.empty(2, 0),
        "nested": {"image": (torch.ones(2), [1, None, True, "x"]), 3: 2.5, "nan": float("nan")},
        "$tuple": (),
        "a b": torch.zeros(1),
        "a_b": torch.ones(1),
        "large": torch.rand(1, 8, 8, 8),
    }
    for chunked_from in (None, 1024):
        places, content = {}, b""
        for name, data in encode(value, chunked_from).items():
            places[name] = (len(content), len(data))
            content += data
        (tmp_path / "file").write_bytes(content)
        assert same(decode(tmp_path / "file", places, whole=True), value)
    assert isinstance(decode(tmp_path / "file", places, whole=False)["large"], ChunkedArray)
    decode(tmp_path / "file", places, whole=True)["image"].zero_()
    assert same(decode(tmp_path / "file", places, whole=True), value)
