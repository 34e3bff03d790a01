"""Weights by name: what is found, what is refused, and that nothing in a file is ever executed."""

import os
import pickle
from pathlib import Path

import pytest
import torch

from medvol.networks import find_bundle, find_weights, read_weights, weights_hash
from medvol.networks import weights as module


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A folder with two bundles: cpc3d has finished runs and a released file, rpl3d has nothing."""
    monkeypatch.chdir(tmp_path)
    installed = tmp_path / "site" / "_bundles"
    monkeypatch.setattr(module, "_INSTALLED", installed)
    for folder in (tmp_path / "bundles" / "cpc3d", tmp_path / "bundles" / "rpl3d", installed / "jigsaw3d"):
        folder.mkdir(parents=True)
        (folder / "train.json").write_text("{}")
    cpc = tmp_path / "bundles" / "cpc3d"
    for run in ("1a2b3c4d", "mine"):
        (cpc / "eval" / run).mkdir(parents=True)
        torch.save({"w": torch.ones(2)}, cpc / "eval" / run / "model.pt")
    (cpc / "eval" / "unfinished").mkdir()
    (cpc / "eval" / "latest.txt").write_text("mine\n")
    (cpc / "models").mkdir()
    torch.save({"w": torch.zeros(2)}, cpc / "models" / "model.pt")
    torch.save({"w": torch.zeros(2)}, cpc / "model.pt")  # no run, though it stands above the runs
    return tmp_path


def test_every_kind_of_name(shop):
    assert find_weights("cpc3d@latest") == Path("bundles/cpc3d/eval/mine/model.pt")
    assert find_weights("cpc3d@1a2b3c4d") == Path("bundles/cpc3d/eval/1a2b3c4d/model.pt")
    assert find_weights("bundles/cpc3d@latest") == Path("bundles/cpc3d/eval/mine/model.pt")
    assert find_weights("bundles/cpc3d/train.json@mine") == Path("bundles/cpc3d/eval/mine/model.pt")
    assert find_weights("cpc3d") == Path("bundles/cpc3d/models/model.pt")
    path = shop / "bundles" / "cpc3d" / "eval" / "1a2b3c4d" / "model.pt"
    assert find_weights(path) == path
    assert find_weights(str(path)) == path


@pytest.mark.parametrize("spec", [None, "", " ", "none", "None", "null", "NULL"])
def test_scratch(spec):
    assert find_weights(spec) is None


def test_runs_that_were_moved(shop):
    moved = shop / "elsewhere"
    (shop / "bundles" / "cpc3d" / "eval").rename(moved)
    assert find_weights("cpc3d@latest", eval_dir=moved) == moved / "mine" / "model.pt"
    with pytest.raises(FileNotFoundError, match=r"cpc3d@latest expects .*latest.txt"):
        find_weights("cpc3d@latest")
    with pytest.raises(FileNotFoundError, match=r"elsewhere/mine/model\.pt"):
        find_weights("cpc3d@other", eval_dir=moved)


def test_the_current_folder_wins_over_the_installed(shop):
    assert find_bundle("jigsaw3d") == shop / "site" / "_bundles" / "jigsaw3d"
    (shop / "bundles" / "jigsaw3d").mkdir()
    (shop / "bundles" / "jigsaw3d" / "inference.json").write_text("{}")
    assert find_bundle("jigsaw3d") == Path("bundles/jigsaw3d")


def test_a_bundle_by_name_folder_and_file(shop):
    folder = shop / "bundles" / "cpc3d"
    (folder / "configs").mkdir()
    (folder / "configs" / "train.json").symlink_to("../train.json")
    assert find_bundle("cpc3d") == Path("bundles/cpc3d")
    for name in (folder, folder / "train.json", folder / "configs" / "train.json", folder / "configs"):
        assert find_bundle(name) == folder
        assert find_bundle(str(name)) == folder


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("cpc3d@mime", r"found no .*mime.model\.pt.*cpc3d, cpc3d@1a2b3c4d, cpc3d@mine.*Did you mean cpc3d@mine"),
        ("cpc3d@unfinished", "expects a finished run"),
        ("cpc3d@", "expects a finished run"),
        ("cpc3d@..", "expects a finished run"),
        ("cpc3", r"Did you mean cpc3d\? Give one of: cpc3d, jigsaw3d, rpl3d"),
        ("rpl3d", r"names released weights, found no .*use one of: cpc3d,"),
        ("rpl3d@latest", r"no run has finished; use one of: cpc3d,"),
        ("missing/model.pt", r"found nothing at missing/model\.pt; use one of"),
        ("bundles/cpc3d/eval/mine", r"found the folder .*name the file, as in bundles/cpc3d/eval/mine/model\.pt"),
    ],
)
def test_what_is_missing_is_refused_with_what_exists(shop, spec, told):
    with pytest.raises(FileNotFoundError, match=told):
        find_weights(spec)


def test_an_empty_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "_INSTALLED", tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="run beside bundles/"):
        find_bundle("cpc3d")
    with pytest.raises(FileNotFoundError, match="no bundle here has finished runs"):
        find_weights("model.pt")


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_malicious_pickle_is_refused_and_not_executed(tmp_path, legacy):
    path, trap = tmp_path / "model.pt", tmp_path / "trap"
    payload = {"w": torch.ones(1), "x": Malicious(trap)}
    if legacy:
        path.write_bytes(pickle.dumps(payload, protocol=2))
    else:
        torch.save(payload, path)
    for read in (read_weights, weights_hash):
        with pytest.raises(ValueError, match=r"found something else in .*not executed"):
            read(path)
    assert not trap.exists()
    if not legacy:  # the trap is a real one
        torch.load(path, weights_only=False)
        assert trap.exists()


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({"state_dict": {"w": torch.ones(1)}, "epoch": 3}, r"a dict with \['epoch', 'state_dict'\]"),
        ([torch.ones(1)], "found list"),
        (torch.ones(1), "found Tensor"),
        ({}, r"a dict with \[\]"),
    ],
)
def test_a_file_that_is_no_state_dict_is_refused(tmp_path, content, found):
    torch.save(content, tmp_path / "last.pt")
    with pytest.raises(ValueError, match=found):
        read_weights(tmp_path / "last.pt")


def test_broken_files_are_refused(tmp_path):
    torch.save({"w": torch.ones(1000)}, tmp_path / "model.pt")
    whole = (tmp_path / "model.pt").read_bytes()
    for content in (whole[:500], b"", b"<html>not found</html>"):
        (tmp_path / "model.pt").write_bytes(content)
        with pytest.raises(ValueError, match="weights expect a state dict"):
            read_weights(tmp_path / "model.pt")


def test_the_hash_is_of_the_tensors(tmp_path):
    state = {"b": torch.arange(6.0).reshape(2, 3), "a": torch.tensor(3), "h": torch.ones(2, dtype=torch.bfloat16)}

    def hashed(content, name="model.pt", **kwargs):
        torch.save(content, tmp_path / name, **kwargs)
        return weights_hash(tmp_path / name)

    first = hashed(state)
    assert len(first) == 64
    assert hashed(dict(reversed(state.items())), "other_name.pt") == first
    assert hashed(state, "old.pt", _use_new_zipfile_serialization=False) == first
    assert hashed({**state, "b": state["b"].t().contiguous().t()}) == first
    changed = [
        {**state, "b": state["b"].reshape(3, 2)},
        {**state, "b": state["b"].double()},
        {**state, "b": state["b"].view(torch.int32)},
        {**state, "b": state["b"] + 1e-6},
        {**state, "c": torch.zeros(0)},
        {("B" if k == "b" else k): v for k, v in state.items()},
    ]
    assert len({first, *map(hashed, changed)}) == 7


def test_safetensors(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    state = {"b": torch.arange(6.0), "a": torch.ones(2, 2)}
    safetensors.save_file(state, tmp_path / "model.safetensors")
    torch.save(state, tmp_path / "model.pt")
    assert weights_hash(tmp_path / "model.safetensors") == weights_hash(tmp_path / "model.pt")
    (tmp_path / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="expect a safetensors file"):
        read_weights(tmp_path / "model.safetensors")


def test_safetensors_with_a_tensor_of_two_names(tmp_path):
    """The second name, which the file notes in its header, comes back: the file's hash is that of the .pt file."""
    safetensors = pytest.importorskip("safetensors.torch")
    layer = torch.nn.Linear(2, 2)
    network = torch.nn.ModuleDict({"one": layer, "other": layer})
    torch.save(network.state_dict(), tmp_path / "model.pt")
    safetensors.save_model(network, str(tmp_path / "model.safetensors"), metadata={"format": "pt"})
    assert set(read_weights(tmp_path / "model.safetensors")) == set(network.state_dict())
    assert weights_hash(tmp_path / "model.safetensors") == weights_hash(tmp_path / "model.pt")


def test_without_the_package_safetensors(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "safetensors", None)
    with pytest.raises(ValueError, match=r"pip install -e '\.\[export\]'"):
        read_weights(tmp_path / "model.safetensors")
