"""medvol.engines.product"""

from __future__ import annotations

import hashlib
import json

import pytest
import torch
from torch import nn

from medvol.engines import product as module
from medvol.engines.product import FILES, remove_run, require_passport, require_product, write_product


def test_writes_weights_then_passport_then_the_name(tmp_path, monkeypatch):
    order = []
    for name in ("save_weights", "write_passport", "write_whole"):
        real = getattr(module, name)
        noted = lambda path, *a, real=real, **k: (order.append(path.name), real(path, *a, **k))  # noqa: E731
        monkeypatch.setattr(module, name, noted)
    folder = tmp_path / "eval" / "abc"
    folder.mkdir(parents=True)
    network = nn.Linear(2, 1)
    write_product(folder, network, {"run": "abc", "steps": 3})
    assert order == ["model.pt", "passport.json", "latest.txt"]
    assert torch.equal(torch.load(folder / "model.pt", weights_only=True)["weight"], network.weight)
    checksum = hashlib.sha256((folder / "model.pt").read_bytes()).hexdigest()
    assert json.loads((folder / "passport.json").read_text()) == {"run": "abc", "steps": 3, "weights": checksum}
    assert (tmp_path / "eval" / "latest.txt").read_text() == "abc\n"


def test_remove_run_leaves_what_is_not_its_own(tmp_path):
    for name in (*FILES, "run.json", ".last.pt.4711.part"):
        (tmp_path / name).touch()
    remove_run(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]


def test_requirements():
    inner = nn.Linear(2, 1)
    require_product(inner, nn.Sequential(inner, nn.ReLU()))
    with pytest.raises(ValueError, match="2 parameters outside of it"):
        require_product(nn.Linear(2, 1), inner)
    assert require_passport(None) == {}
    assert require_passport({"seed": 1}) == {"seed": 1}
    with pytest.raises(ValueError, match=r"found \['sed'\]"):
        require_passport({"sed": 1})
