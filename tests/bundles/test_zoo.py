"""What the model zoo asks of a bundle, for every bundle on disk; ``check_properties`` stands in test_conformance.py."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow, ckpt_export, verify_metadata, verify_net_in_out
from monai.bundle import load as load_bundle
from monai.data import load_net_with_metadata

from medvol.bundles import GuardError

ROOT = Path(__file__).parents[2] / "bundles"
BUNDLES = sorted(p.parent.name for p in ROOT.glob("*/train.json"))
RELEASED = [b for b in BUNDLES if (ROOT / b / "models" / "model.pt").is_file()]
WEIGHTS = [*((b, "two steps") for b in BUNDLES), *((b, "released") for b in RELEASED)]

TEXTS = "schema version monai_version pytorch_version numpy_version task description authors copyright intended_use"
TENSOR = {
    "type": str, "format": str, "modality": str, "num_channels": int, "spatial_shape": list, "dtype": str,
    "value_range": list, "is_patch_data": bool,
}  # fmt: skip
LARGE = 25 * 2**20  # bytes; the zoo wants larger files in large_files.yml


def read(bundle: str, file: str) -> dict[str, Any]:
    return json.loads((ROOT / bundle / file).read_text(encoding="utf-8"))


def tensors(meta: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for side in ("inputs", "outputs"):
        for name, entry in meta["network_data_format"][side].items():
            yield f"{side}.{name}", entry


def sizes(entry: dict[str, Any], n: int) -> tuple[int, ...]:
    """``["8*n", "n", 4]`` as numbers."""
    values = {"n": n}
    return tuple(s if isinstance(s, int) else eval(s, {"__builtins__": {}}, values) for s in entry["spatial_shape"])


def differences(wanted: dict[str, torch.Tensor], found: dict[str, torch.Tensor]) -> list[str]:
    """Every tensor that a file lacks, has besides, or has in another shape or type, by name."""
    said = [f"{key} is missing" for key in wanted if key not in found]
    said += [f"{key} is unknown" for key in found if key not in wanted]
    for key in (k for k in wanted if k in found):
        if (wanted[key].shape, wanted[key].dtype) != (found[key].shape, found[key].dtype):
            said.append(f"{key} is {tuple(found[key].shape)} {found[key].dtype}")
    return said


@pytest.fixture(params=WEIGHTS, ids=lambda pair: f"{pair[0]}, {pair[1]}")
def delivered(request: pytest.FixtureRequest, trained: dict[str, Path]) -> tuple[str, Path]:
    """A bundle's name, and weights of it."""
    bundle, kind = request.param
    return bundle, ROOT / bundle / "models/model.pt" if kind == "released" else trained[bundle] / "model.pt"


@pytest.fixture
def inference(overrides: Callable[..., dict]) -> Callable[[str, Path], ConfigWorkflow]:
    def start(bundle: str, weights: Path) -> ConfigWorkflow:
        given = {"weights": str(weights), "manifest": overrides(bundle)["manifest"], "device": "cpu"}
        file = str(ROOT / bundle / "inference.json")
        workflow = ConfigWorkflow(config_file=file, workflow_type="infer", **given)
        workflow.initialize()
        return workflow

    return start


@pytest.fixture
def fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A folder of bundles as a user has it who downloaded one, and has neither data nor runs."""
    (tmp_path / "desk").mkdir()
    monkeypatch.chdir(tmp_path / "desk")
    monkeypatch.setenv("MEDVOL_CACHE", str(tmp_path / "cache"))

    def place(bundle: str, weights: Path, passport: bool = True) -> Path:
        target = tmp_path / "downloads" / bundle
        shutil.copytree(ROOT / bundle, target, ignore=shutil.ignore_patterns("eval", "models"))
        (target / "models").mkdir()
        shutil.copy(weights, target / "models" / "model.pt")
        if passport:
            shutil.copy(weights.with_name("passport.json"), target / "models")
        return target.parent

    return place


# --- the weights, first -----------------------------------------------------------------------------------------------


def test_the_weights_are_the_network_and_nothing_else(
    delivered: tuple[str, Path], inference: Callable[..., ConfigWorkflow]
) -> None:
    bundle, weights = delivered
    network = inference(bundle, weights).network_def
    assert differences(network.state_dict(), torch.load(weights, weights_only=True)) == []


def broken(weights: Path, how: str) -> tuple[dict[str, torch.Tensor], str]:
    """The tensors of a file with one of them changed, and that one's name."""
    state = torch.load(weights, weights_only=True)
    name = sorted(k for k, v in state.items() if v.ndim > 1 and sum(w is v or torch.equal(w, v) for w in state.values()) == 1)[0]  # fmt: skip  # noqa: E501
    tensor = state.pop(name)
    if how == "renamed":
        state[f"module_{name}"] = tensor
    elif how == "reshaped":
        state[name] = tensor[:-1].clone()
    return state, name


@pytest.mark.parametrize("bundle", BUNDLES)
def test_one_wrong_tensor_is_named(bundle: str, trained: dict[str, Path], fetched: Callable[..., Path]) -> None:
    weights = trained[bundle] / "model.pt"
    whole = torch.load(weights, weights_only=True)
    for how in ("missing", "renamed", "reshaped"):
        state, name = broken(weights, how)
        said = differences(whole, state)
        assert any(sentence.startswith(f"{name} is ") for sentence in said), how
    folder = fetched(bundle, weights)
    torch.save(state, folder / bundle / "models" / "model.pt")
    with pytest.raises(GuardError) as refused:
        load_bundle(bundle, bundle_dir=folder, workflow_type="train", device="cpu")
    assert name in str(refused.value.code)


# --- metadata -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bundle", BUNDLES)
def test_the_metadata_say_what_they_must(bundle: str) -> None:
    meta = read(bundle, "metadata.json")
    assert [key for key in TEXTS.split() if not isinstance(meta.get(key), str) or not meta[key].strip()] == []
    assert all(isinstance(v, str) for v in meta["required_packages_version"].values())
    assert {"torch", "monai", "numpy"} <= set(meta["required_packages_version"])
    assert meta["version"] in meta["changelog"]
    assert all(isinstance(line, str) for line in meta["references"])
    assert {"inputs.image", "outputs.pred"} <= {name for name, _ in tensors(meta)}
    for name, entry in tensors(meta):
        assert [k for k, kind in TENSOR.items() if not isinstance(entry.get(k), kind)] == [], name
        low, high = entry["value_range"]
        assert low < high, name


@pytest.mark.parametrize("bundle", BUNDLES)
def test_the_zoos_own_command_accepts_the_metadata(bundle: str, tmp_path: Path) -> None:
    schema = os.environ.get("MEDVOL_ZOO_SCHEMA")
    if schema is None:
        pytest.skip("MEDVOL_ZOO_SCHEMA names no schema file")
    copy = shutil.copy(schema, tmp_path / "schema.json")  # it is downloaded where the file does not exist
    known = {"hash_val": hashlib.sha256(Path(copy).read_bytes()).hexdigest(), "hash_type": "sha256"}
    verify_metadata(meta_file=str(ROOT / bundle / "metadata.json"), filepath=copy, **known)


@pytest.mark.parametrize("bundle", BUNDLES)
def test_the_channels_are_those_of_every_config(bundle: str) -> None:
    meta = read(bundle, "metadata.json")["network_data_format"]
    image, pred = meta["inputs"]["image"], meta["outputs"]["pred"]
    files = [file for file in ("train.json", "inference.json", "evaluate.json") if (ROOT / bundle / file).is_file()]
    configs = {file: read(bundle, file) for file in files}
    classes = [["background", *config["classes"]] for config in configs.values() if "classes" in config]
    for file, config in configs.items():
        assert list(image["channel_def"].values()) == config["modalities"], file
        if "regions" in config and not classes:  # with classes, regions are what is scored
            assert list(pred["channel_def"].values()) == [name for name, _ in config["regions"]], file
    for names in classes:
        assert list(pred["channel_def"].values()) == names
    for entry in (image, pred):
        names = entry.get("channel_def", {str(n): "" for n in range(entry["num_channels"])})
        assert list(names) == [str(n) for n in range(entry["num_channels"])]


# --- the network --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bundle", BUNDLES)
def test_the_network_takes_and_gives_what_the_metadata_say(bundle: str) -> None:
    for file in ("train.json", "inference.json"):
        config, meta = str(ROOT / bundle / file), str(ROOT / bundle / "metadata.json")
        verify_net_in_out("network_def", meta_file=meta, config_file=config, device="cpu", n=1)
    parser = ConfigParser()
    parser.read_config(config)
    network = parser.get_parsed_content("network_def").eval()
    said = read(bundle, "metadata.json")["network_data_format"]
    image, pred = said["inputs"]["image"], said["outputs"]["pred"]
    for n in (1, 2):
        with torch.no_grad():
            output = network(torch.zeros(1, image["num_channels"], *sizes(image, n)))
        assert output.shape == (1, pred["num_channels"], *sizes(pred, n)), n


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Converting a tensor to a Python:torch.jit.TracerWarning")
def test_torchscript(delivered: tuple[str, Path], inference: Callable[..., ConfigWorkflow], tmp_path: Path) -> None:
    bundle, weights = delivered
    workflow = inference(bundle, weights)
    meta = read(bundle, "metadata.json")
    image = meta["network_data_format"]["inputs"]["image"]
    shape = [1, image["num_channels"], *sizes(image, 2)]
    recipe = {key: workflow.parser.config[key] for key in ("filters", "spatial_dims") if key in workflow.parser.config}
    with warnings.catch_warnings():
        if bundle == "simmim3d":  # the masks of its windows are constants for one size, and tracing says so
            warnings.simplefilter("ignore", torch.jit.TracerWarning)
        ckpt_export(
            "network_def",
            filepath=str(tmp_path / "model.ts"),
            ckpt_file=str(weights),
            meta_file=str(ROOT / bundle / "metadata.json"),
            config_file=str(ROOT / bundle / "inference.json"),
            key_in_ckpt="",
            use_trace=True,
            input_shape=shape,
            **recipe,
        )
    script, embedded, _ = load_net_with_metadata(str(tmp_path / "model.ts"))
    assert embedded["network_data_format"] == meta["network_data_format"]
    assert embedded["version"] == meta["version"]
    network = workflow.network_def
    network.load_state_dict(torch.load(weights, weights_only=True))
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(script.eval()(x), network.eval()(x))


# --- the folder ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bundle", BUNDLES)
def test_the_folder_holds_what_the_zoo_wants(bundle: str) -> None:
    for file in ("LICENSE", "README.md", "configs/metadata.json", "configs/train.json", "configs/inference.json"):
        assert (ROOT / bundle / file).is_file(), file
    assert "_v" not in bundle  # the zoo's download would read the rest of the name as a version
    large = [f for f in (ROOT / bundle / "models").glob("*") if f.stat().st_size > LARGE]
    assert not large or (ROOT / bundle / "large_files.yml").is_file()


# --- monai.bundle.load --------------------------------------------------------------------------------------------


def same(network: torch.nn.Module, weights: Path) -> bool:
    file = torch.load(weights, weights_only=True)
    state = network.state_dict()
    return state.keys() == file.keys() and all(torch.equal(state[key], file[key]) for key in file)


@pytest.mark.parametrize("kind", ["train", "inference"])
def test_load_gives_the_weights_to_someone_without_data(
    kind: str,
    delivered: tuple[str, Path],
    fetched: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bundle, weights = delivered
    folder = fetched(bundle, weights)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    seeds, numbers = torch.initial_seed(), np.random.get_state()[1].tolist()  # noqa: NPY002 (what MONAI seeds)
    network = load_bundle(bundle, bundle_dir=folder, workflow_type=kind, device="cpu")
    assert same(network, weights)
    assert sorted(tmp_path.rglob("*")) == before, "loading writes no run and makes no data"
    assert torch.initial_seed() == seeds
    assert np.random.get_state()[1].tolist() == numbers  # noqa: NPY002
    assert not torch.backends.cudnn.deterministic


@pytest.mark.parametrize("bundle", RELEASED)
@pytest.mark.parametrize("kind", ["train", "inference"])
def test_load_gives_the_released_weights(bundle: str, kind: str) -> None:
    network = load_bundle(bundle, bundle_dir=ROOT, workflow_type=kind, device="cpu")
    assert same(network, ROOT / bundle / "models" / "model.pt")


# simmim3d has the same width, however small the rest of it is made
@pytest.mark.parametrize("bundle", [b for b in BUNDLES if "filters" in read(b, "inference.json")])
def test_load_of_other_widths_wants_a_passport_or_an_override(
    bundle: str, trained: dict[str, Path], fetched: Callable[..., Path]
) -> None:
    weights = trained[bundle] / "model.pt"
    folder = fetched(bundle, weights, passport=False)
    with pytest.raises(GuardError, match="weights of this bundle's network"):
        load_bundle(bundle, bundle_dir=folder, workflow_type="inference", device="cpu")
    parser = ConfigParser()
    parser.read_config(str(folder / bundle / "configs" / "inference.json"))
    parser["filters"] = json.loads((trained[bundle] / "passport.json").read_text(encoding="utf-8"))["recipe"]["filters"]
    names = [key for key in parser["network_def"] if key != "_target_"]
    override = {key: parser.get_parsed_content(f"network_def::{key}") for key in names}
    network = load_bundle(bundle, bundle_dir=folder, workflow_type="inference", device="cpu", net_override=override)
    assert same(network, weights)
