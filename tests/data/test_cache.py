import functools
import hashlib
import importlib.util
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import (
    Compose,
    CopyItemsd,
    CropForegroundd,
    EnsureTyped,
    Lambdad,
    LoadImaged,
    NormalizeIntensityd,
    Orientationd,
    ResizeWithPadOrCropd,
    ScaleIntensityd,
    Spacingd,
)
from monai.utils import CommonKeys

from medvol.data import cache_root
from medvol.data.cache import item_key, plain, read_or_make, transform_key

RAS = (("L", "R"), ("P", "A"), ("I", "S"))


def chain(spacing=1.0):
    return [
        LoadImaged(["image", "label"], ensure_channel_first=True),
        Orientationd("image", axcodes="RAS", labels=RAS),
        Spacingd("image", pixdim=(spacing,) * 3),
        EnsureTyped("image", track_meta=False),
    ]


def names(folder):
    """Return what lies in a folder beside its locks."""
    return sorted(file.name for file in folder.iterdir() if file.name != ".locks")


def test_the_environment_names_the_root(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDVOL_CACHE", str(tmp_path / "c"))
    assert cache_root() == tmp_path / "c"
    monkeypatch.delenv("MEDVOL_CACHE")
    assert "medvol" in str(cache_root())
    assert cache_root().is_absolute()


# --- names ---


def test_equal_chains_have_one_name():
    assert transform_key(chain()) == transform_key(chain())
    assert transform_key([ScaleIntensityd("image")]) == transform_key([ScaleIntensityd("".join(["im", "age"]))])


def test_every_setting_counts():
    chains = [
        chain(),
        chain(2.0),
        chain()[:-1],
        chain()[::-1],
        [],
        [ScaleIntensityd("image")],
        [ScaleIntensityd("label")],
        [NormalizeIntensityd("image")],
        [NormalizeIntensityd("image", nonzero=True)],
        [NormalizeIntensityd("image", subtrahend=np.array([1.0]))],
        [NormalizeIntensityd("image", subtrahend=np.array([2.0]))],
        [NormalizeIntensityd("image", subtrahend=np.array([2.0], dtype="float32"))],
        [Lambdad("image", func=lambda x: x * 2)],
        [Lambdad("image", func=lambda x: x * 3)],
        [Lambdad("image", func=lambda x: x + 3)],
        [Lambdad("image", func=lambda x, y=1: x * 3)],
        [Lambdad("image", func=np.abs)],
        [Lambdad("image", func=torch.abs)],
        [Lambdad("image", func=functools.partial(torch.clamp, min=0))],
        [Lambdad("image", func=functools.partial(torch.clamp, min=1))],
        [EnsureTyped("image", dtype=torch.float32)],
        [EnsureTyped("image", dtype=torch.float16)],
        [Compose([ScaleIntensityd("image")])],
        [{"lazy": True}],
        [{"lazy": False}],
        [{"lazy": None}],
        [{"lazy": 0}],
    ]
    assert len({transform_key(each) for each in chains}) == len(chains)


def test_monai_counts_with_its_version(monkeypatch):
    before = transform_key([ScaleIntensityd("image")])
    monkeypatch.setattr("monai.__version__", "another")
    assert transform_key([ScaleIntensityd("image")]) != before


def test_a_closure_counts_with_what_it_holds():
    def scaled(factor):
        return [Lambdad("image", func=lambda x: x * factor)]

    assert transform_key(scaled(2)) == transform_key(scaled(2)) != transform_key(scaled(3))


def test_an_object_that_holds_itself_has_a_name():
    knot = []
    knot.append(knot)
    assert len(transform_key([knot])) == 64


@pytest.mark.parametrize("edited", ["mine/own.py", "mine/beside.py"])
def test_the_source_of_other_packages_counts(tmp_path, monkeypatch, edited):
    code = "class Mine:\n    def __call__(self, x): return x"
    (tmp_path / "mine").mkdir()
    for name in ("mine/__init__.py", "mine/own.py", "mine/beside.py"):
        (tmp_path / name).write_text(code)

    def key():
        spec = importlib.util.spec_from_file_location("mine.own", tmp_path / "mine/own.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "mine.own", module)
        spec.loader.exec_module(module)
        return transform_key([module.Mine()])

    first = key()
    assert key() == first
    (tmp_path / edited).write_text(code + " * 2")
    assert key() != first


def test_items_go_by_identity_where_there_is_one(tmp_path):
    base = {"image": "/x/a.nii.gz", "label": "/x/b.nii.gz", "patient": 3, "identity": "abc"}
    assert item_key(base) == item_key({**base, "image": "/y/a.nii.gz", "label": "/y/b.nii.gz"})
    without = {key: value for key, value in base.items() if key != "label"}
    others = [{**base, "identity": "abd"}, {**base, "patient": 4}, {**base, "channels": [0]}, without]
    others.append({key: value for key, value in base.items() if key != "identity"})
    assert len({item_key(base), *map(item_key, others)}) == len(others) + 1
    assert item_key(base) == item_key(dict(reversed(base.items())))


def test_items_without_identity_follow_their_files(tmp_path):
    file = tmp_path / "a.nii.gz"
    file.write_bytes(b"1")
    item = {"image": str(file), "extra": [file]}
    first = item_key(item)
    assert item_key(item) == first
    os.utime(file, ns=(1, 1))
    second = item_key(item)
    file.write_bytes(b"12")
    os.utime(file, ns=(1, 1))
    assert len({first, second, item_key(item)}) == 3
    assert item_key({"image": np.zeros(2)}) != item_key({"image": np.ones(2)})
    assert len(item_key({"image": "x/" + "y" * 5000})) == 64  # longer than any file name


@pytest.mark.slow
def test_another_process_finds_the_same_names():
    code = (
        f"import sys; sys.path[:0] = [{str(Path(__file__).parents[2])!r}, {str(Path(__file__).parent)!r}]\n"
        "from medvol.data.cache import item_key, transform_key\nimport test_cache\n"
        "print(transform_key(test_cache.chain()), item_key({'a': {1, 'b'}}))"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1]
    assert len(runs[0]) == 130


# --- entries ---


def test_a_value_is_made_once_and_read_as_it_was(tmp_path):
    value = {"image": torch.rand(2, 3, 4), "patient": 3, "case": "a", "list": [1.5, None, (True, "x")]}
    calls = []
    first = read_or_make(tmp_path / "a.pt", lambda: calls.append(1) or value)
    second = read_or_make(tmp_path / "a.pt", lambda: calls.append(1))
    assert calls == [1]
    assert torch.equal(first.pop("image"), value["image"])
    assert torch.equal(second.pop("image"), value["image"])
    assert first == second == {"patient": 3, "case": "a", "list": [1.5, None, (True, "x")]}
    assert names(tmp_path) == ["a.pt"]


def test_a_change_in_place_does_not_reach_the_disk(tmp_path):
    def read():
        return read_or_make(tmp_path / "a.pt", lambda: {"image": torch.zeros(1000)})["image"]

    for _ in range(3):
        assert read().add_(1).sum() == 1000


def test_a_damaged_entry_is_made_again(tmp_path):
    file = tmp_path / "a.pt"
    read_or_make(file, lambda: {"image": torch.ones(100)})
    for damage in (file.read_bytes()[:100], b"", b"nonsense"):
        file.write_bytes(damage)
        with pytest.warns(UserWarning, match="is made again"):
            assert read_or_make(file, lambda: {"image": torch.ones(100)})["image"].sum() == 100
        assert read_or_make(file, None)["image"].sum() == 100


def test_a_failed_write_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match=r"No space left.*MEDVOL_CACHE"):
        read_or_make(tmp_path / "a.pt", lambda: {"image": torch.ones(1)})
    assert not names(tmp_path)


def test_only_safe_values_are_kept(tmp_path):
    with pytest.raises(ValueError, match=r"sample\['image'\]\[0\] is a object; remove it"):
        read_or_make(tmp_path / "a.pt", lambda: {"image": [object()]})
    with pytest.raises(ValueError, match="ndarray"):
        plain(np.array(["text"]))
    assert not names(tmp_path)


# --- several processes, chunks, use ---


def test_who_waited_for_an_entry_reads_it(tmp_path):
    calls, begun = [], threading.Event()

    def make():
        calls.append(1)
        begun.set()
        time.sleep(0.1)
        return {"n": len(calls)}

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: read_or_make(tmp_path / "a.pt", make), range(4)))
    assert found == [{"n": 1}] * 4
    assert calls == [1]


def test_locks_are_few(tmp_path):
    for number in range(100):
        read_or_make(tmp_path / f"{number}.pt", lambda: {"n": 1})
    assert 32 < len(list((tmp_path / ".locks").iterdir())) <= 64


def test_a_file_system_without_locks_still_caches(tmp_path, monkeypatch):
    def missing(_):
        raise NotImplementedError("flock")

    monkeypatch.setattr("filelock.FileLock._acquire", missing)
    assert read_or_make(tmp_path / "a.pt", lambda: {"n": 1}) == read_or_make(tmp_path / "a.pt", None) == {"n": 1}


def test_a_lock_that_cannot_be_written_is_reported(tmp_path):
    (tmp_path / ".locks").write_text("")
    with pytest.raises(OSError, match=r"folder it can write to, with room; .* refused .*; free the disk.*MEDVOL_CACHE"):
        read_or_make(tmp_path / "a.pt", lambda: {"n": 1})
    assert not names(tmp_path)


def test_a_removed_folder_comes_back(tmp_path):
    assert read_or_make(tmp_path / "c/a.pt", lambda: {"n": 1}) == {"n": 1}


def test_large_volumes_are_read_in_part(tmp_path):
    value = {"image": torch.rand(2, 8, 9, 10), "label": torch.ones(1, 8, 9, 10), "patient": 3}
    first = read_or_make(tmp_path / "a.pt", lambda: value, chunked_from=1000)
    assert torch.equal(first["image"], value["image"])
    again = read_or_make(tmp_path / "a.pt", None, chunked_from=1000)
    assert not isinstance(again["image"], torch.Tensor)
    assert torch.equal(again["image"][:, 1:3, 2:4, 5:], value["image"][:, 1:3, 2:4, 5:])
    assert again["patient"] == 3
    whole = read_or_make(tmp_path / "a.pt", None)  # a chain that needs all reads the same entry
    assert torch.equal(whole["image"], value["image"])
    read_or_make(tmp_path / "b.pt", lambda: value)
    assert torch.equal(read_or_make(tmp_path / "b.pt", None, chunked_from=1000)["image"], value["image"])


def test_a_damaged_chunked_entry_is_made_again(tmp_path):
    file, value = tmp_path / "a.pt", {"image": torch.rand(2, 8, 9, 10)}
    read_or_make(file, lambda: value, 1000)
    good = file.read_bytes()
    for damage in (good[:-1], good[:100], good[:20], b"\0" * len(good)):
        file.write_bytes(damage)
        with pytest.warns(UserWarning, match="is made again"):
            read_or_make(file, lambda: value, 1000)
        assert torch.equal(read_or_make(file, None)["image"], value["image"])
    file.write_bytes(good[:-2000] + b"\xff" * 2000)  # whole in size, wrong inside: noticed when all is read
    with pytest.warns(UserWarning, match="is made again"):
        assert torch.equal(read_or_make(file, lambda: value)["image"], value["image"])


def test_a_use_is_noted_at_most_every_half_minute(tmp_path):
    file = tmp_path / "a.pt"
    read_or_make(file, lambda: {"n": 1})
    for age, noted in ((1000, True), (10, False)):
        os.utime(file, (1e9, time.time() - age))
        read_or_make(file, None)
        assert (time.time() - file.stat().st_mtime < 5) is noted


def test_a_bound_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDVOL_CACHE_SIZE", "20kB")
    monkeypatch.setattr("medvol.data.eviction.STARTED", time.time() + 60)
    for number in range(12):
        read_or_make(tmp_path / f"{number}.pt", lambda: {"image": torch.rand(1, 1000)})
    assert 2 <= len(names(tmp_path)) <= 4
    assert "11.pt" in names(tmp_path)


def test_a_folder_that_may_only_be_read_serves_its_entries(tmp_path, monkeypatch):
    read_or_make(tmp_path / "a.pt", lambda: {"n": 1})
    os.utime(tmp_path / "a.pt", (1, 1))

    def refused(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "utime", refused)
    monkeypatch.setattr("filelock.FileLock._acquire", refused)
    assert read_or_make(tmp_path / "a.pt", None) == {"n": 1}
    with pytest.raises(OSError, match=r"Permission denied.*MEDVOL_CACHE"):
        read_or_make(tmp_path / "b.pt", lambda: {"n": 1})


def test_plain_values():
    meta = MetaTensor(torch.arange(24.0).reshape(2, 3, 4), affine=torch.eye(4))
    whole = torch.arange(24.0).reshape(2, 3, 4)
    found = plain(
        {"a": meta, CommonKeys.IMAGE: whole[:, 1:2, ::2], "n": np.float32(0.5), "p": Path("x"), "t": (np.ones(1),)}
    )
    assert type(found["a"]) is torch.Tensor
    assert [type(key) for key in found] == [str] * 5
    assert torch.equal(found["image"], whole[:, 1:2, ::2])
    # A view would take the whole volume into its file.
    assert found["image"].untyped_storage().nbytes() == found["image"].numel() * 4
    assert (found["n"], found["p"], type(found["t"])) == (0.5, "x", tuple)


def test_names_are_hexadecimal():
    assert len(transform_key([CopyItemsd("image", names="copy")])) == len(hashlib.sha256().hexdigest())


class Scale:
    def __init__(self, factor):
        self.factor = factor

    def go(self, image):
        return image * self.factor

    def other(self, image):
        return image + self.factor


def test_bound_methods_are_told_apart():
    keys = {transform_key([Lambdad("image", func=one)]) for one in (Scale(2).go, Scale(3).go, Scale(2).other)}
    assert len(keys) == 3


def typed_in(text, **names):
    """Return what a text defines, as a notebook would."""
    names["__name__"] = "notebook"
    exec(compile(text, "/nowhere/ipykernel_1/2.py", "exec"), names)
    return names["thing"]


def test_functions_and_classes_of_a_notebook_have_keys_of_their_own():
    functions = [typed_in(f"thing = lambda x: x * {k}") for k in (2, 7)]
    globals_ = [typed_in("thing = lambda x: x * factor", factor=k) for k in (2, 7)]
    classes = [typed_in(f"class thing:\n    def __call__(self, x):\n        return x * {k}") for k in (2, 7)]
    keys = {transform_key([Lambdad("image", func=one)]) for one in (*functions, *globals_)}
    assert len(keys) == 4
    assert len({transform_key([one()]) for one in classes}) == 2


def test_a_transform_keeps_its_key_when_it_is_used():
    chain = [
        Orientationd("image", axcodes="RAS", labels=(("L", "R"), ("P", "A"), ("I", "S"))),
        Spacingd("image", (2, 2, 2)),
        CropForegroundd("image", source_key="image"),
        ResizeWithPadOrCropd("image", (4, 4, 4)),
    ]
    before = [transform_key([one]) for one in chain]
    sample = {"image": MetaTensor(torch.rand(1, 6, 6, 6))}
    for one in chain:
        sample = one(sample)
    assert [transform_key([one]) for one in chain] == before
