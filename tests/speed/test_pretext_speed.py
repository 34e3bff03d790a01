"""Pretext tasks against the copies and the training steps that they feed. Cutting is in test_patches_speed.py."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
from chains import ROOT, Task
from torch import Tensor

from medvol.engines.precision import as_float32, autocast_dtype, forward_precision
from medvol.transforms.rotations import RandRotationsd, rotate, rotation_classes

pytestmark = pytest.mark.speed
CHAINS = {  # what stands between the cached volume and the batch
    "cpc3d": ["RandPatchGridd", "RandPatchIntensityd"],
    "rpl3d": ["RandPatchGridd", "RandRelativeLocationd", "RandPatchIntensityd"],
    "jigsaw3d": ["RandPatchGridd", "RandJigsawd", "RandPatchIntensityd"],
    "rotation3d": ["RandPatchGridd", "RandRotationsd", "RandPatchIntensityd", "RandPatchBlurd"],
    "exemplar3d": ["RandViewsd", "RandPatchBlurd", "RandPatchGammad", "RandPatchNoised", "RandPatchIntensityd"],
}


@pytest.fixture(autouse=True)
def one_core():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def fastest_copy(image: Tensor, rotation: tuple) -> Callable[[np.ndarray], object]:
    """Of several ways to copy a volume, its axes in another order, into an array, the one that is fastest here.

    That of torch leaves out the mirroring that belongs to a turn, which it could not do without a second copy.
    """
    source = image.numpy()
    turned = rotate(source, rotation)
    # the axis of the source that each axis of the turned volume runs along
    order = [[abs(s) for s in source.strides].index(abs(stride)) for stride in turned.strides]
    candidates = [
        lambda out: np.copyto(out, turned),
        lambda out: np.copyto(out, np.ascontiguousarray(turned)),
        lambda out: torch.from_numpy(out).copy_(image.permute(order)),
    ]
    out, times = np.empty(turned.shape, turned.dtype), []
    for copy in candidates:
        rounds = []
        for _ in range(5):
            start = time.perf_counter()
            copy(out)
            rounds.append(time.perf_counter() - start)
        times.append(min(rounds))
    return candidates[int(np.argmin(times))]


def test_rotations_against_transposing_copies(in_turns: Callable, capsys: pytest.CaptureFixture) -> None:
    image = torch.rand(2, 128, 128, 128)[:1]
    copies = [fastest_copy(image, rotation) for rotation in rotation_classes((128, 128, 128))]
    task = RandRotationsd("image", views=10)

    def plain() -> None:
        for out, copy in zip(np.empty((10, 1, 128, 128, 128), np.float32), copies, strict=True):
            copy(out)

    ours, theirs = in_turns(lambda: task({"image": image}), plain, rounds=7)
    with capsys.disabled():
        print(f"\nten rotations of 128^3: {ours * 1e3:.0f} ms, {ours / theirs:.2f} x the fastest transposing copies")
    assert ours / theirs <= 1.5


PRESETS = {None: 4, "128": 4, "hippocampus": 1}  # volumes of the phantom, of 128^3, of a hippocampus; their channels


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("bundle", CHAINS)
def test_a_sample_against_its_share_of_a_step(bundle: str, preset: str | None, capsys: pytest.CaptureFixture) -> None:
    """In the precision of the bundle, so that what is prepared is compared with steps as they are here.

    With the smallest preset views cost what their calls cost: little, but steps cost little, too.
    """
    args = ROOT / bundle / "args_hippocampus.json"
    changes = json.loads(args.read_text(encoding="utf-8")) if preset == "hippocampus" else {}
    channels, zoom = PRESETS[preset], changes.get("spacing", [1.0])[0]
    shape = {None: (88, 105, 90), "128": (128, 128, 128)}.get(preset, tuple(int(n / zoom) for n in (35, 51, 35)))
    task = Task(bundle, channels=channels, changes=changes)
    chain = [part for part in task.transform().transforms if type(part).__name__ in CHAINS[bundle]]
    last = [part for part in task.transform().transforms if type(part).__name__ in ("DeleteItemsd", "CopyItemsd")]
    assert [type(part).__name__ for part in chain] == CHAINS[bundle]
    mask = torch.ones(1, *shape, dtype=torch.bool)
    volume = {"image": torch.rand(channels, *shape), "mask": mask, "patient": 1, "label": 0}

    def sample(patient: int = 1) -> tuple[dict, list[float]]:
        data, seconds = {**volume, "patient": patient}, []
        for part in chain:
            start = time.process_time()
            data = part(data)
            seconds.append(time.process_time() - start)
        for part in last:
            data = part(data)
        return data, seconds

    size = changes.get("batch_size", 2)
    inputs, label = task.batch([sample(patient)[0] for patient in range(size)])
    network, loss = task.part("network"), task.part("loss")
    optimizer = task.part("optimizer")

    device = torch.device("cpu")
    precision = autocast_dtype(task.part("precision"), device)

    def step() -> None:
        optimizer.zero_grad()
        with forward_precision(device, precision):
            output = network(*inputs)
        loss(as_float32(output), label).backward()
        optimizer.step()

    parts, steps = [], []
    for turn in range(5):
        drawn = sample()[1]
        start = time.process_time()
        step()
        if turn:
            parts.append(drawn)
            steps.append((time.process_time() - start) / size)
    each = [statistics.median(column) for column in zip(*parts, strict=True)]
    one = statistics.median(steps)
    share = sum(each) / one
    with capsys.disabled():
        names = ", ".join(f"{name} {s * 1e3:.1f}" for name, s in zip(CHAINS[bundle], each, strict=True))
        kind = precision or "float32"
        print(
            f"\n{bundle}, {preset or 'phantom'}: {names} ms, {share:.1%} of a step of {one * 1e3:.0f} ms a sample in "
            f"{kind}"
        )
    if preset != "hippocampus":
        assert max(each) / one <= 0.1, "each part"
    assert share <= {None: 0.1, "128": 0.12, "hippocampus": 0.3}[preset], "all of them"
