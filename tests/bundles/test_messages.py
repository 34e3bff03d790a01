"""Every message of ``check`` and of the guard says what was expected, what was found and what to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from medvol import bundles
from medvol.__main__ import main
from medvol.bundles import GuardError
from medvol.bundles.checks.check import CheckReport, check_bundle
from medvol.data.files import checksum

ROOT = Path(__file__).parents[2] / "bundles"


@dataclass
class Place:
    """A copy of a bundle to break, and what a config needs to run small."""

    folder: Path
    tmp: Path
    dataset: Path
    trained: Mapping[str, Path]

    def weights(self, bundle: str) -> Path:
        return self.trained[bundle] / "model.pt"

    def edit(self, file: str, change: Callable[[dict], object]) -> dict:
        content = json.loads((self.folder / file).read_text(encoding="utf-8"))
        change(content)
        (self.folder / file).write_text(json.dumps(content), encoding="utf-8")
        return {}

    def manifest(self, **changes: object) -> dict:
        content = json.loads(self.dataset.read_text(encoding="utf-8")) | {"root": str(self.dataset.parent)} | changes
        (self.tmp / "changed.json").write_text(json.dumps(content), encoding="utf-8")
        return {"manifest": str(self.tmp / "changed.json"), "dataset_dir": str(self.dataset.parent)}

    def model(self, change: Callable[[dict], object], source: str = "cpc3d") -> dict:
        state = torch.load(self.weights(source), weights_only=True)
        change(state)
        torch.save(state, self.tmp / "model.pt")
        record = json.loads(self.weights(source).with_name("passport.json").read_text(encoding="utf-8"))
        record["weights"] = checksum(self.tmp / "model.pt")
        self.file("passport.json", json.dumps(record))
        return {"pretrained": str(self.tmp / "model.pt")}

    def whole(self) -> dict:
        return self.model(lambda state: None)

    def passport(self, text: str) -> dict:
        given = self.whole()
        (self.tmp / "passport.json").write_text(text, encoding="utf-8")
        return given

    def versioned(self, version: str) -> dict:
        given = self.whole()
        record = json.loads((self.tmp / "passport.json").read_text(encoding="utf-8"))
        record["versions"]["medvol"] = version
        (self.tmp / "passport.json").write_text(json.dumps(record), encoding="utf-8")
        return given

    def named(self, weights: str) -> dict:
        given = self.whole()
        record = json.loads((self.tmp / "passport.json").read_text(encoding="utf-8"))
        self.file("passport.json", json.dumps(record | {"weights": weights}))
        return given

    def file(self, name: str, content: str | bytes = "x") -> str:
        path = self.tmp / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)


Break = Callable[[Place], dict]
FIRST = "input_block.conv1.conv.weight"


def meta(**changes: object) -> Break:
    return lambda place: place.edit("metadata.json", lambda content: content.update(changes))


def without(key: str) -> Break:
    return lambda place: place.edit("metadata.json", lambda content: content.pop(key))


def given(**overrides: object) -> Break:
    return lambda place: overrides


def nested(key: str, value: object) -> Break:
    return lambda place: {key: value}


def rename(state: dict) -> None:
    state["stem.conv.weight"] = state.pop(FIRST)


def reshape(state: dict) -> None:
    state[FIRST] = state[FIRST][:, :2]


def beside_another_run(place: Place) -> dict:
    chosen = place.whole()
    place.file("run.json", json.dumps({"hash": "f" * 64}))
    return chosen


def unfinished(place: Place) -> dict:
    (place.folder / "train.json").write_text('{\n  "steps": 3;\n}', encoding="utf-8")
    return {}


def empty_section(name: str) -> Break:
    return lambda place: place.manifest(**{name: []})


def unlabelled(place: Place) -> dict:
    rows = json.loads(place.dataset.read_text(encoding="utf-8"))["training"]
    return place.manifest(training=[{k: v for k, v in row.items() if k != "label"} for row in rows])


def missing_file(place: Place) -> dict:
    rows = json.loads(place.dataset.read_text(encoding="utf-8"))["training"]
    return place.manifest(training=[{**rows[0], "image": [f"gone_{i}.nii.gz" for i in range(4)]}])


def two_sections(place: Place) -> dict:
    rows = json.loads(place.dataset.read_text(encoding="utf-8"))["training"]
    return place.manifest(validation=rows[:1])


def empty_folder(place: Place) -> dict:
    return {"input_dir": str(place.folder / "models"), "weights": str(place.weights("cpc3d"))}


def damaged_metadata(place: Place) -> dict:
    (place.folder / "metadata.json").write_text("{,", encoding="utf-8")
    return {}


def without_passport(place: Place) -> dict:
    chosen = place.whole()
    (place.tmp / "passport.json").unlink()
    return chosen


def text_for_a_link(place: Place) -> dict:
    (place.folder / "configs" / "train.json").unlink()
    (place.folder / "configs" / "train.json").write_text("../train.json", encoding="utf-8")
    return {}


def dead_link(place: Place) -> dict:
    (place.folder / "logging.conf").unlink()
    return {}


C, U = "cpc3d train", "unet_brats train"
CASES: list[tuple[str, str, Break, str, str, str]] = [
    # name, bundle and config, what is broken, and words of expected, found and remedy
    ("unknown key", C, given(epoch=1), "something reads", "did you mean 'steps'", "top-level keys are"),
    ("misspelled key", C, given(learning_rat=1.0), "something reads", "did you mean 'learning_rate'", "correct"),
    ("unknown argument", C, nested("train::trainer::clipnorm", 1.0), "arguments", "did you mean 'clip_norm'", "takes"),
    ("no such place", C, nested("train::trainr::steps", 1), "lead to a place", "trainr", "medvol show"),
    ("no such component", C, nested("loss::_target_", "medvol.losses.Nope"), "imported", "Nope", "install"),
    ("text for a number", C, given(steps="many"), "type", "'steps' must be int", "300"),
    ("fraction for a count", C, given(batch_size=1.5), "type", "1.5", "batch_size"),
    ("number for a flag", C, given(restart=1), "type", "'restart' must be bool", "restart"),
    ("number for a list", C, given(crop_size=24), "type", "'crop_size' must be list", "crop_size"),
    ("no steps", C, given(steps=0), "'steps' of at least 1", "0", "--steps"),
    ("null steps", C, given(steps=None), "a whole number of at least 1", "None", "--steps"),
    ("negative seed", C, given(seed=-1), "'seed' of at least 0", "-1", "--seed"),
    ("negative workers", C, given(num_workers=-1), "'num_workers' of at least 0", "-1", "--num_workers"),
    ("no batch", C, given(batch_size=0), "'batch_size' of at least 1", "0", "--batch_size"),
    ("negative rate", C, given(learning_rate=-0.1), "above 0", "-0.1", "--learning_rate"),
    ("rate that is no number", C, given(learning_rate=float("nan")), "above 0", "nan", "--learning_rate"),
    ("number for a folder", C, given(cache_dir=3), "a text for 'cache_dir'", "3", "--cache_dir"),
    ("list for a filter", C, given(where=["age"]), "a text for 'where'", "['age']", "--where"),
    ("unknown device", C, given(device="gpu"), "device such as 'cpu'", "gpu", "--device"),
    ("absent device", C, given(device="cuda:9"), "device 'cuda:9'", "CUDA devices", "leave --device out"),
    ("unknown manifest", C, given(manifest="phantm"), "manifest 'phantm'", "did you mean", "data_manifests"),
    ("no manifest file", C, given(manifest="mine.json"), "manifest 'mine.json'", "there is no file", "data_manifests"),
    ("broken manifest", C, lambda p: {"manifest": p.file("m.json", "{,}")}, "manifest", "not JSON", "data_manifests"),
    ("manifest's key", C, lambda p: p.manifest(taining=[]), "manifest", "did you mean 'training'", "data_manifests"),
    ("no data folder", C, given(dataset_dir="nowhere"), "manifest", "there is no folder", "--dataset_dir"),
    ("missing files", C, missing_file, "readable data", "4 of them are missing", "--dataset_dir"),
    ("unknown modality", C, given(modalities=["swi"]), "readable data", "has no 'swi'", "data_manifests"),
    ("no training cases", C, empty_section("training"), "at least one case", "0 in training", "manifest split"),
    ("no validation cases", C, empty_section("validation"), "section 'validation'", "0 in val", "manifest split"),
    ("too many patients", C, given(num_patients=40), "readable data", "40", "data_manifests"),
    ("unknown column", C, given(where="qualty > 3"), "readable data", "qualty", "data_manifests"),
    ("patient twice", C, two_sections, "readable data", "one section only", "data_manifests"),
    ("no labels", U, unlabelled, "readable data", "items with a label", "data_manifests"),
    ("no weights file", U, given(pretrained="none.pt"), "weights for 'pretrained'", "nothing at", "--pretrained"),
    ("weights of no bundle", U, given(pretrained="cpc4d@latest"), "weights for", "cpc4d", "--pretrained"),
    ("weights of no run", U, given(pretrained="cpc3d@nope"), "weights for", "finished run", "--pretrained"),
    ("damaged weights", U, lambda p: {"pretrained": p.file("m.pt", b"PK\x03\x04")}, "read", "not exec", "--pretrained"),
    ("weights that are a list", U, lambda p: torch.save([1], p.tmp / "l.pt") or {"pretrained": str(p.tmp / "l.pt")},
     "can be read", "list", "--pretrained"),
    ("tensor missing", U, lambda p: p.model(lambda s: s.pop(FIRST)), "tensors", f"1 missing ({FIRST})", "build"),
    ("tensor renamed", U, lambda p: p.model(rename), "tensors", "unknown to the network (stem.conv.weight)", "build"),
    ("tensor reshaped", U, lambda p: p.model(reshape), "tensors", f"{FIRST} (8, 2, 3, 3, 3) in the file", "adapt"),
    ("other architecture", U, lambda p: {**p.whole(), "filters": [8, 8, 16]}, "tensors", "shape", "build"),
    ("newer medvol", U, lambda p: p.versioned("99.1.0"), "this medvol or an older", "99.1.0", "update medvol"),
    ("damaged passport", U, lambda p: p.passport("{"), "passport", "passport.json", "remove it"),
    ("passport that is a list", U, lambda p: p.passport("[]"), "passport", "list", "remove it"),
    ("passport of another run", U, beside_another_run, "passport", "folder of run ffffffff", "from one run"),
    ("passport of other weights", U, lambda p: p.named("0" * 64), "passport", "SHA-256 00000000", "from one run"),
    ("unknown scope", U, lambda p: {**p.whole(), "scope": "decoder"}, "tensors", "'decoder'", "choose"),
    ("unbuildable network", U, lambda p: {**p.whole(), "filters": [8]}, "settings", "", "@network_def"),
    ("filters for no network", C, given(filters=[8]), "settings that 'network_def' can", "list index", "@network_def"),
    ("future medvol", C, meta(required_packages_version={"medvol": "77"}), "medvol >= 77", "0.", "update medvol to 77"),
    ("no weights at all", "unet_brats evaluate", given(weights=None), "trained network", "None", "--weights"),
    ("number for weights", "unet_brats evaluate", given(weights=3), "a text for 'weights'", "3", "--weights"),
    ("channels in another order", "unet_brats evaluate",
     lambda p: {"weights": str(p.weights("unet_brats")), "modalities": ["t2", "t1", "t1ce", "flair"]},
     "order of the training", "t2, t1, t1ce, flair", "leave --modalities out"),
    ("unknown section", "unet_brats evaluate", lambda p: {"section": "tests", "weights": str(p.weights("unet_brats"))},
     "readable data", "did you mean 'test'", "data_manifests"),
    ("unknown corruption", "unet_brats evaluate",
     lambda p: {"corruption": "blurr", "weights": str(p.weights("unet_brats"))},
     "with a corruption", "did you mean 'blur'", "--corruption"),
    ("no such severity", "unet_brats evaluate",
     lambda p: {"corruption": "noise", "severity": 6, "weights": str(p.weights("unet_brats"))},
     "with a corruption", "found 6", "--severity"),
    ("pretext weights", "unet_brats evaluate", lambda p: {"weights": str(p.weights("cpc3d"))},
     "tensors", "missing", "build"),
    ("no input folder", "cpc3d inference", lambda p: {"input_dir": "nowhere", "weights": str(p.weights("cpc3d"))},
     "'input_dir'", "there is no folder", "--input_dir"),
    ("empty input folder", "cpc3d inference", empty_folder,
     "'input_dir'", "found none", "--modalities"),
    ("no shards", C, given(shards="nowhere"), "shards of this very", "nowhere", "medvol shards"),
    ("file for a folder", C, lambda p: {"output_dir": p.file("out")}, "folder for the runs", "out", "--output_dir"),
    ("folder that cannot be told", C, given(output_dir="$1 / 0"), "folder for the runs", "division", "--output_dir"),
    ("file for the cache", C, lambda p: {"cache_dir": p.file("c")}, "folder for the cache", "c", "MEDVOL_CACHE"),
    ("too large a crop", C, given(crop_size=[99, 24, 24]), "99 x 24 x 24", "29 x 31 x 27", "--crop_size"),
    ("no metadata", C, lambda p: (p.folder / "metadata.json").unlink() or {}, "a metadata.json", "none", "copy"),
    ("damaged metadata", C, damaged_metadata, "can be read", "line 1", "correct"),
    ("metadata without a key", C, without("authors"), "the key 'authors'", "none", "add 'authors'"),
    ("metadata without a format", C, without("network_data_format"), "'network_data_format'", "none", "add"),
    ("metadata with an empty key", C, meta(task=""), "a value for 'task'", "''", "fill in"),
    ("version not in the changelog", C, meta(version="9.9.9"), "version 9.9.9", "only 0.1.0", "what this version"),
    ("future MONAI", C, meta(monai_version="99.10.0"), "monai >= 99.10.0", "1.", "pip install 'monai"),
    ("MONAI's version is none", C, meta(monai_version="newest"), "a version for monai_version", "'newest'", "1.6.1"),
    ("package missing", C, meta(required_packages_version={"nope": "1"}), "nope >= 1", "not installed", "pip install"),
    ("package too old", C, meta(required_packages_version={"torch": "77"}), "torch >= 77", "2.", "pip install"),
    ("packages as a list", C, meta(required_packages_version=["torch"]), "package names", "['torch']", "write it as"),
    ("syntax error", C, unfinished, "can be read", "line 2, column 13", "correct"),
    ("dead link", C, dead_link, "logging.conf", "nothing at ../logging.conf", "copy the bundle whole"),
]  # fmt: skip
WARNINGS: list[tuple[str, str, Break, str, str, str]] = [
    ("text for a link", C, text_for_a_link, "links to the files above", "without symbolic links", "core.symlinks"),
    ("newer torch", C, meta(pytorch_version="77.0"), "torch >= 77.0", "2.", "nothing, or"),
    ("no passport", U, without_passport, "passport", "none at", "copy passport.json"),
]  # fmt: skip
AT_THE_START = (
    "unknown key, unknown argument, no such component, no steps, text for a number, negative rate, absent device, "
    "unknown manifest, missing files, no training cases, no labels, damaged weights, tensor missing, tensor renamed, "
    "tensor reshaped, newer medvol, damaged passport, package too old, future MONAI, number for weights, "
    "file for the cache, unknown corruption"
).split(", ")
BY_COMMAND = ["unknown key", "tensor missing", "syntax error", "no metadata", "no training cases"]


@pytest.fixture
def place(tmp_path: Path, dataset: Path, trained: Mapping[str, Path]) -> Callable[[str], Place]:
    """``place("cpc3d")``: a copy of that bundle to break."""

    def copy(bundle: str) -> Place:
        shutil.copytree(ROOT / bundle, tmp_path / bundle, symlinks=True, ignore=shutil.ignore_patterns("eval"))
        (tmp_path / "files").mkdir()
        return Place(tmp_path / bundle, tmp_path / "files", dataset, trained)

    return copy


def small(case: tuple, place: Callable[[str], Place], overrides: Callable[..., dict]) -> tuple[Path, str, dict]:
    """Break a bundle; return its folder, the config's name and the overrides."""
    bundle, config = case[1].split()
    chosen = place(bundle)
    changes = case[2](chosen)
    if config == "train":
        return chosen.folder, "train.json", overrides(bundle, **changes)
    least = {"manifest": str(chosen.dataset), "device": "cpu"}
    return chosen.folder, f"{config}.json", {**least, **changes}


def require_case(report: CheckReport, case: tuple, state: str) -> None:
    """The report has a problem with the words of the case, and every problem in it has three parts."""
    _, _, _, expected, found, remedy = case
    for problem in report.problems:
        for part in (problem.expected, problem.found, problem.remedy):
            assert part.strip(), problem
            assert "Traceback" not in part
            assert 'File "' not in part
    told = [p for p in report.problems if expected in p.expected and found in p.found and remedy in p.remedy]
    assert [p.state for p in told] == [state], report.text()
    page = report.text()
    assert all(word in page for word in ("expected:", "found:", "remedy:"))


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 45
    assert len({case[0] for case in CASES + WARNINGS}) == len(CASES + WARNINGS)
    assert {*AT_THE_START, *BY_COMMAND} <= {case[0] for case in CASES}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_check_names_what_is_wrong(
    case: tuple, place: Callable, overrides: Callable[..., dict], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medvol.bundles.checks.check.bundle_facts", lambda *_: {})  # they have their own tests
    folder, config, changes = small(case, place, overrides)
    report = check_bundle(folder, config, changes, estimate_steps=0)
    require_case(report, case, "error")
    assert not report.ok
    assert "not ready" in report.text().splitlines()[-1]


@pytest.mark.parametrize("case", WARNINGS, ids=lambda case: case[0])
def test_check_warns(case: tuple, place: Callable, overrides: Callable[..., dict]) -> None:
    folder, config, changes = small(case, place, overrides)
    report = check_bundle(folder, config, changes, estimate_steps=0)
    require_case(report, case, "warning")
    assert report.ok
    assert "ready, 1 warning" in report.text().splitlines()[-1]


@pytest.mark.parametrize("case", [c for c in CASES if c[0] in BY_COMMAND], ids=lambda case: case[0])
def test_the_command_ends_with_1(
    case: tuple, place: Callable, overrides: Callable[..., dict], capsys: pytest.CaptureFixture
) -> None:
    folder, config, changes = small(case, place, overrides)
    words = [word for key, value in changes.items() for word in (f"--{key}", str(value))]
    assert main(["check", str(folder), "--config", config, "--no_estimate", *words]) == 1
    shown = capsys.readouterr()
    assert case[4] in shown.out
    assert "Traceback" not in shown.out + shown.err


@pytest.mark.parametrize("case", [c for c in CASES if c[0] in AT_THE_START], ids=lambda case: case[0])
def test_the_guard_refuses_in_three_parts(case: tuple, place: Callable, overrides: Callable[..., dict]) -> None:
    folder, config, changes = small(case, place, overrides)
    with pytest.raises(GuardError) as error:
        bundles.run(folder / config, **changes)
    text = str(error.value.code)
    assert all(word in text for word in ("expected:", "found:", "remedy:"))
    assert "Traceback" not in text
    if case[0] != "text for a number":  # a library call does not know the default, and says it in other words
        assert all(word in text for word in case[3:])
    assert config != "train.json" or not (Path(changes["output_dir"]) / "latest.txt").exists()


def test_all_problems_are_shown_and_not_the_first_alone(place: Callable, overrides: Callable[..., dict]) -> None:
    chosen = place("unet_brats")
    chosen.edit("metadata.json", lambda content: content.pop("authors"))
    broken = {"epoch": 1, "steps": 0, "manifest": "nope", "pretrained": "nope.pt", "no::place": 1}
    report = check_bundle(chosen.folder, overrides=overrides("unet_brats", **broken), estimate_steps=3)
    found = " ".join(problem.found + problem.expected for problem in report.problems)
    assert all(word in found for word in ("epoch", "'steps' of", "'nope'", "nope.pt", "authors", "no::place"))
    assert report.estimate is None
    assert "because of the errors" in report.text()


def test_an_unknown_bundle_is_told_its_neighbor(capsys: pytest.CaptureFixture) -> None:
    assert main(["check", "cpc4d"]) == 1
    assert "Did you mean cpc3d?" in capsys.readouterr().out
