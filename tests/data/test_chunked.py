import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medvol.data.chunked import open_chunks, pack

TYPES = [
    torch.bool,
    torch.uint8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
]


def random(shape, dtype=torch.float32):
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 3
    return values > 0 if dtype is torch.bool else values.to(dtype)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_every_type_comes_back_bit_by_bit(dtype, tmp_path):
    tensor = random((2, 7, 6, 5), dtype)
    (tmp_path / "f").write_bytes(b"abc" + pack(tensor, 4) + b"after")
    for array in (open_chunks(pack(tensor, 4)), open_chunks(tmp_path / "f", 3)):
        assert (array.shape, array.dtype, array.ndim, len(array)) == (tensor.shape, dtype, 4, 2)
        assert array.whole().dtype is dtype
        assert torch.equal(array.whole(), tensor)
        assert torch.equal(array[:, 1:3, 5:, 2:4], tensor[:, 1:3, 5:, 2:4])


def test_values_that_are_no_numbers_keep_their_bits():
    bits = torch.tensor([0x7FC00001, 0x7F800000, -0x80000000, 1], dtype=torch.int32).reshape(1, 2, 2, 1)
    assert torch.equal(open_chunks(pack(bits.view(torch.float32))).whole().view(torch.int32), bits)


TENSOR = random((3, 9, 8, 3))
ARRAY = open_chunks(pack(TENSOR, (4, 5, 2)))
EDGE = st.none() | st.integers(-10, 10)
PARTS = st.integers(-3, 2) | st.builds(slice, EDGE, EDGE)


@settings(max_examples=50, deadline=None, database=None)
@given(st.lists(PARTS, max_size=4).map(tuple), PARTS)
def test_indexing_is_that_of_a_tensor(index, last):
    assert torch.equal(ARRAY[index], TENSOR[index])
    assert torch.equal(ARRAY[..., last], TENSOR[..., last])


@pytest.mark.parametrize("shape", [(1, 300), (2, 300, 280), (1, 40, 35, 1), (12, 9, 9, 9), (1, 1, 1, 1)])
def test_any_number_of_axes(shape):
    tensor = random(shape)
    assert torch.equal(open_chunks(pack(tensor)).whole(), tensor)


def test_a_part_is_a_tensor_of_its_own():
    array = open_chunks(pack(torch.zeros(1, 4, 4)))
    array[:, :2].add_(1)
    assert array.whole().sum() == 0


def test_an_open_file_outlives_its_name(tmp_path):
    tensor = random((1, 70, 70, 70))
    (tmp_path / "f").write_bytes(pack(tensor))
    array = open_chunks(tmp_path / "f")
    (tmp_path / "f").unlink()
    assert torch.equal(array[:, 60:, 1:5, 30:40], tensor[:, 60:, 1:5, 30:40])
    assert torch.equal(array.whole(), tensor)


def test_only_the_touched_chunks_are_read(tmp_path):
    tensor = random((1, 96, 64, 64))
    frame = bytearray(pack(tensor))
    array = open_chunks(bytes(frame))
    chunks = [array._array.schunk.get_chunk(n) for n in range(array._array.schunk.nchunks)]
    begin = bytes(frame).index(chunks[-1])  # the far corner
    frame[begin + 32 : begin + len(chunks[-1])] = b"\xff" * (len(chunks[-1]) - 32)
    (tmp_path / "f").write_bytes(frame)
    damaged = open_chunks(tmp_path / "f")
    assert torch.equal(damaged[:, :64, 32:, 32:], tensor[:, :64, 32:, 32:])
    with pytest.raises(ValueError, match=r"f is damaged .*; delete that file"):
        damaged[:, 64:, 40:, 40:]
    with pytest.raises(ValueError, match="is damaged"):
        damaged.whole()


def test_what_cannot_be_packed_or_indexed_is_refused():
    for shape in [(), (5,), (1, 0, 3)]:
        with pytest.raises(ValueError, match=r"must be \(C, \*spatial\) with voxels; found the shape"):
            pack(torch.zeros(shape))
    for chunk in (0, (2, 2, 2), (-1, 2)):
        with pytest.raises(ValueError, match="for each of the 2 spatial axes; found"):
            pack(torch.zeros(1, 3, 3), chunk)
    array = open_chunks(pack(torch.zeros(1, 3, 3)))
    for index, message in [
        ((0, 0, 0, 0), "at most 3 parts"),
        ((..., 0, ...), "at most 3 parts"),
        ((0, 3), "below 3 on axis 1; found 3"),
        ((0, -4), "below 3 on axis 1; found -4"),
        ((0, slice(0, 3, 2)), "no step"),
    ]:
        with pytest.raises(IndexError, match=message):
            array[index]


def test_what_is_no_frame_is_refused(tmp_path):
    frame = pack(torch.zeros(1, 3, 3))
    for content in (b"", b"nonsense" * 100, frame[:-10]):
        (tmp_path / "f").write_bytes(content)
        for source in (content, tmp_path / "f"):
            with pytest.raises(ValueError, match=r"must begin at byte 0 of .*; delete the file"):
                open_chunks(source, 0, len(frame))
    with pytest.raises(FileNotFoundError):
        open_chunks(tmp_path / "none")


def test_a_frame_is_small_and_always_the_same():
    volume = torch.from_numpy(np.kron(np.arange(8.0, dtype="float32").reshape(1, 2, 2, 2), np.ones((1, 32, 32, 32))))
    assert len(pack(volume.float())) < volume.nbytes / 50
    assert pack(volume) == pack(volume.clone())
