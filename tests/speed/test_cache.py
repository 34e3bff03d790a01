"""Random patches of large volumes from the chunked cache: patches a second, and bytes touched."""

from __future__ import annotations

import gc
import itertools
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.transforms import Compose, MapTransform, RandSpatialCropd

from medvol.data import StreamDataset, stream_loader
from medvol.data.entries import read_entry
from medvol.transforms import RandReadCropd

pytestmark = pytest.mark.speed
SHAPE, NUMBER, PATCH = (4, 240, 240, 155), 4, 32


class MakeVolumed(MapTransform):
    """Make a volume as BraTS has it: four channels, smooth with noise in a ball of a third of the box, zero outside."""

    def __call__(self, data: dict) -> dict:
        generator = torch.Generator().manual_seed(data["image"])
        coarse = torch.randn(1, SHAPE[0], 24, 24, 16, generator=generator)
        volume = torch.nn.functional.interpolate(coarse, SHAPE[1:], mode="trilinear")[0]
        volume += 0.05 * torch.randn(SHAPE, generator=generator)
        axes = torch.meshgrid(*(torch.linspace(-1, 1, size) for size in SHAPE[1:]), indexing="ij")
        volume[:, sum(axis**2 for axis in axes) > 0.75] = 0
        return {"image": volume, "patient": data["image"]}


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, StreamDataset]:
    """The same crops from the chunked and from the memory-mapped cache, both filled."""
    items, found = [{"image": number} for number in range(NUMBER)], {}
    for name, crop in {"chunked": RandReadCropd, "mapped": RandSpatialCropd}.items():
        transforms = Compose([MakeVolumed("image"), crop("image", (PATCH,) * 3)])
        found[name] = StreamDataset(items, transforms, 0, tmp_path_factory.mktemp(name))
        for number in range(NUMBER):
            found[name][number]
    return found


def test_patches_a_second(datasets: dict[str, StreamDataset], capsys: pytest.CaptureFixture) -> None:
    batches, size, rates, spent = 50, 8, {name: [] for name in datasets}, {}
    for name, dataset in datasets.items():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        loader = stream_loader(dataset, size, seed=0, num_workers=2)
        stream = iter(loader)
        for _ in range(10):  # the workers start
            next(stream)
        for _ in range(5):
            begin = time.perf_counter()
            shapes = {tuple(batch["image"].shape) for batch in itertools.islice(stream, batches)}
            rates[name].append(round(batches * size / (time.perf_counter() - begin)))
            assert shapes == {(size, SHAPE[0], *(PATCH,) * 3)}
        del stream, loader
        gc.collect()  # ends the workers, so that their time is known
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        spent[name] = f"{used / (260 * size) * 1e3:.2f} ms"
    with capsys.disabled():
        print(f"\n{SHAPE[0]} x {PATCH}^3 patches a second, two workers: {rates}; processor, of workers alone: {spent}")
    assert max(rates["chunked"]) >= 150


def test_processor_time(datasets: dict[str, StreamDataset], in_turns: Callable, capsys: pytest.CaptureFixture) -> None:
    position = itertools.count()

    def draw(name: str) -> Callable[[], object]:
        return lambda: [datasets[name][n % NUMBER, n] for n in itertools.islice(position, 40)]

    files = [sorted(datasets[name].cache_dir.glob("*.pt"))[0] for name in ("chunked", "mapped")]
    chunked, mapped = in_turns(draw("chunked"), draw("mapped"))
    begin = time.process_time()
    draw("chunked")()
    processor = (time.process_time() - begin) / 40
    begin = time.perf_counter()
    read_entry(files[0])["image"].whole()
    whole = time.perf_counter() - begin
    with capsys.disabled():
        print(
            f"\na sample: chunked {chunked / 40 * 1e3:.2f} ms ({processor * 1e3:.2f} ms of processor), memory map "
            f"{mapped / 40 * 1e3:.2f} ms, whole volume unpacked {whole * 1e3:.0f} ms; "
            f"an entry: {files[0].stat().st_size / 1e6:.0f} against {files[1].stat().st_size / 1e6:.0f} MB"
        )
    assert processor < 2 / 150  # two cores at 150 patches a second
    assert chunked / 40 < whole / 5


def test_bytes_touched(datasets: dict[str, StreamDataset], capsys: pytest.CaptureFixture) -> None:
    file: Path = sorted(datasets["chunked"].cache_dir.glob("*.pt"))[0]
    array = read_entry(file)["image"]._array
    steps = [range(0, size, chunk) for size, chunk in zip(SHAPE, array.chunks, strict=True)]
    corners = list(itertools.product(*steps))  # of chunk 0, 1, ...
    sizes = [len(array.schunk.get_chunk(number)) for number in range(array.schunk.nchunks)]
    random, touched = np.random.RandomState(0), []
    for _ in range(200):
        start = [random.randint(0, size - PATCH + 1) for size in SHAPE[1:]]
        hit = [
            size
            for corner, size in zip(corners, sizes, strict=True)
            if all(c < s + PATCH and s < c + 32 for c, s in zip(corner[1:], start, strict=True))
        ]
        touched.append(sum(hit))
    volume = int(np.prod(SHAPE)) * 4
    with capsys.disabled():
        print(f"\na patch touches {np.mean(touched) / 1e6:.2f} MB of {sum(sizes) / 1e6:.0f}; whole: {volume / 1e6:.0f}")
    assert np.mean(touched) < volume / 20
