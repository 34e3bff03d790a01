"""``python -m medvol audit``: from a bundle to a verdict."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
import torch

from medvol.__main__ import main
from medvol.bundles.audit import audit as audit_module
from medvol.bundles.audit import guessing
from medvol.bundles.audit.audit import audit
from medvol.bundles.audit.report import POWER

ROOT = Path(__file__).parents[3] / "bundles"
SMALL = {"crop_size": [24, 24, 1], "grid": [3, 3, 1], "patch_size": [6, 6, 1]}  # slices: nine cells
WORDS = [word for key, value in SMALL.items() for word in (f"--{key}", str(value).replace(" ", ""))]


@pytest.fixture(autouse=True, scope="module")
def few_trees():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guessing, "_TREES", 20)
        yield


def is_noticed(finding):
    """Whether the whole interval of an answer lies as far above chance as power asks for."""
    return max(answer.low for answer in finding.answers) > finding.chance + POWER


def test_a_counter_measure_closes_the_shortcut_that_it_is_for():
    lines = []
    closed = audit("cpc3d", overrides=SMALL, fixture="ramp", samples=1000, report=lines.append)
    assert lines == ["ramp: drawing and guessing ..."]
    assert closed.ok, closed.text()  # the upper bounds of both classifiers are below the bar
    assert closed.has_power() == {}
    opened = audit("cpc3d", overrides=SMALL, without=["intensity"], samples=100)
    assert [finding.images for finding in opened.findings] == ["ramp"]
    assert is_noticed(opened.findings[0]), opened.text()
    assert opened.exit_code == 1
    assert opened.has_power() == {"intensity": True}
    assert next(iter(opened.findings[0].groups)) in ("level", "distribution", "faces")


def test_the_same_seed_gives_the_same_figures():
    first, again = (audit("cpc3d", overrides=SMALL, fixture="ramp", samples=100, seed=5) for _ in range(2))
    assert again.as_dict() == first.as_dict()


def test_a_jigsaw_is_asked_for_the_order_of_all_patches():
    small = SMALL | {"num_permutations": 20}
    report = audit("jigsaw2d", overrides=small, without=["intensity"], samples=200)
    assert [(finding.images, finding.question) for finding in report.findings] == [("ramp", "cell"), ("ramp", "order")]
    orders = report.findings[1]
    assert orders.chance == pytest.approx(1 / 20)
    assert is_noticed(orders), report.text()
    assert orders.answers[0].samples % 20 == 0
    assert "verdict: shortcut found on ramp (cell), ramp (order)" in report.text()
    assert "come from? And in which of the listed orders" in report.question


def test_the_command(capsys, tmp_path):
    words = ["audit", "cpc3d", *WORDS, "--samples", "100", "--without", "intensity", "--json", str(tmp_path / "a.json")]
    assert main(words) == 1
    printed = capsys.readouterr()
    assert printed.out.rstrip().endswith("verdict: shortcut found on ramp")
    assert printed.err == "ramp: drawing and guessing ...\n"
    record = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert (record["bundle"], record["without"], record["ok"]) == ("cpc3d", ["intensity"], False)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--fixture rmap", "found 'rmap'; did you mean 'ramp'?"),
        ("--samples 99", "samples must be a whole number from 100 to 100000; found 99"),
        ("--seed -1", "seed must be a whole number from 0"),
        ("--data mine", "the data must be 'own'"),
        ("--data own --fixture noise", "found both, 'noise' and 'own'; leave one out"),
        ("--without blur", "intensity, mask; found 'blur'"),
        ("--stepz 3", "nothing reads the key 'stepz'; did you mean 'steps'?"),
        ("--crop_size [9,9,9] --fixture noise", "axis 0: expected a cell of at least"),
        ("--config inference", "found none in inference.json"),
    ],
)
def test_refusals_are_no_verdicts(words, message, capsys):
    assert main(["audit", "cpc3d", *words.split()]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert not printed.out


def test_a_bundle_without_a_pretext_task_is_refused():
    with pytest.raises(ValueError, match="found no record; name a bundle of pre-training"):
        audit("classify2d", fixture="noise", overrides={"image_size": [16, 16]})


def test_too_few_patients_are_refused(overrides):
    with pytest.raises(ValueError, match=r"^an audit of your data needs at least 15 patients"):
        audit("cpc3d", data="own", overrides=overrides("cpc3d"))


def test_own_data_have_figures_and_no_bar(overrides, monkeypatch):
    boxes = [[[0, 4 * cell], [4, 4 * cell + 4]] for cell in range(4)]

    def own_draws(parser, seed, testing):
        draw = torch.Generator().manual_seed(int(testing))
        for number in itertools.count():
            image = torch.randn(4, 1, 4, 4, generator=draw) + 3 * torch.arange(4).reshape(4, 1, 1, 1)
            yield number, {"image": image, "pretext": {"boxes": boxes, "grid": [1, 4]}}

    monkeypatch.setattr(audit_module, "own_draws", own_draws)
    report = audit("cpc3d", data="own", overrides=overrides("cpc3d"), samples=100)
    assert report.findings[0].best.right > 0.9
    assert report.ok
    assert next(iter(report.findings[0].groups)) in ("level", "faces", "distribution")
    assert "verdict: none, for these images show anatomy" in report.text()


def test_a_batch_has_nobody_twice():
    kept = list(audit_module._apart(((unit, unit) for unit in (0, 0, 1, 0, 2, 1, 1, 3, 0)), 3))
    assert kept == [(0, 0), (1, 1), (2, 2), (3, 3), (0, 0)]  # who is drawn again keeps his number


def test_empty_images_end_the_audit(monkeypatch):
    monkeypatch.setattr("medvol.bundles.audit.task._threshold", lambda parser: 2.0)
    monkeypatch.setattr("medvol.bundles.audit.audit._PATIENCE", 3)
    with pytest.raises(ValueError, match="found none in 3 draws"):
        audit("cpc3d", overrides=SMALL, fixture="noise", samples=100)


def other_task(folder, *components, **keys):
    """A bundle that is cpc3d but for what follows its cutter."""
    content = json.loads((ROOT / "cpc3d" / "train.json").read_text(encoding="utf-8"))
    parts = content["train"]["preprocessing"]["transforms"]
    kept = {"imports", "bundle_root", "modalities", "spacing", "crop_size", "batch_size"}
    slim = {key: value for key, value in content.items() if key in kept} | keys
    chain = {"_target_": "monai.transforms.Compose", "transforms": [*parts[:7], *components]}
    readers = {"_target_": "builtins.dict", "batch_size": "@batch_size", "channels": "$len(@modalities)"}
    slim["train"] = {"preprocessing": chain, "dataloader": readers}
    (folder / "task").mkdir()
    (folder / "task" / "train.json").write_text(json.dumps(slim), encoding="utf-8")
    return folder / "task" / "train.json"


def test_views_without_classes_have_a_figure_and_no_bar(tmp_path):
    views = {"_target_": "medvol.transforms.views.RandViewsd", "keys": ["image"], "size": "@crop_size",
             "mask_key": "mask"}  # fmt: skip
    bundle = other_task(tmp_path, views, crop_size=[6, 6, 6], batch_size=3, modalities=["t1"])
    report = audit(bundle, fixture="padded", samples=100)
    assert report.question == "which views are of one image?"
    assert report.ok
    assert report.findings[0].chance == pytest.approx(1 / 5)
    assert len(report.findings[0].answers) == 1
    assert "verdict: none, for these views have no classes" in report.text()


def test_turned_views_are_asked_for_their_class(tmp_path):
    cut = {"_target_": "medvol.transforms.RandPatchGridd", "keys": ["image"], "grid": 1, "patch_size": "@crop_size"}
    turn = {"_target_": "medvol.transforms.RandRotationsd", "keys": ["image"], "views": 4}
    bundle = other_task(tmp_path, cut, turn, crop_size=[10, 10, 1])
    report = audit(bundle, fixture="ramp", samples=100)
    assert report.question == "which class has this view, such as how it was turned?"
    assert report.findings[0].chance == pytest.approx(1 / 4, abs=0.1)
    assert is_noticed(report.findings[0]), report.text()
    assert next(iter(report.findings[0].groups)) in ("slope", "faces")


def test_noise_tells_what_is_done_to_the_patches_of_one_cell(tmp_path):
    cut = {"_target_": "medvol.transforms.RandPatchGridd", "keys": ["image"], "grid": [3, 3, 1],
           "patch_size": [6, 6, 1], "crop_size": "@crop_size"}  # fmt: skip
    trace = {"_target_": "monai.transforms.Lambdad", "keys": ["image"],
             "func": "$lambda patches: __import__('torch').cat([patches[:1] * __import__('torch').ones(1, 1, 6, 6, 1)"
                     ".index_fill(2, __import__('torch').tensor([0]), 0), patches[1:]])"}  # fmt: skip
    bundle = other_task(tmp_path, cut, trace, crop_size=[24, 24, 1], modalities=["t1"])
    report = audit(bundle, fixture="noise", samples=300)
    found = report.findings[0]
    assert report.exit_code == 1
    assert found.best.low > found.chance  # one of nine cells is told: 2 of 9 are right
    assert found.best.right == pytest.approx(2 / 9, abs=0.06)
    assert next(iter(found.groups)) in ("constant", "faces", "level")


@pytest.mark.slow
@pytest.mark.parametrize("bundle", ["cpc3d", "exemplar3d"])
def test_the_patients_of_own_data_are_what_counts(bundle, overrides, write_tiny_dataset, tmp_path):
    manifest = write_tiny_dataset(tmp_path / "own", cases=19)
    content = json.loads(manifest.read_text(encoding="utf-8"))
    cases = content["training"] + content["validation"]
    twice = [case | {"patient": "p0"} if number == 15 else case for number, case in enumerate(cases[:16])]
    content |= {"training": twice, "validation": cases[16:]}
    manifest.write_text(json.dumps(content), encoding="utf-8")
    lines = []
    keys = overrides(bundle, manifest=str(manifest), crop_size=[18] * 3, patch_size=[4] * 3)
    keys = {key: value for key, value in keys.items() if bundle == "cpc3d" or key != "patch_size"}
    report = audit(bundle, data="own", overrides=keys, samples=200, report=lines.append)
    assert lines == ["own: drawing and guessing ..."]
    assert report.ok
    (found,) = report.findings
    assert {answer.units for answer in found.answers} == {10}  # of 15 patients, and 16 scans
    assert found.best.samples >= 200
    assert "verdict: none, for these images show anatomy" in report.text()


PRETEXT = sorted(
    file.parent.name for file in ROOT.glob("*/train.json") if "RandPatchGridd" in file.read_text(encoding="utf-8")
)
TINY = {"crop_size": [36, 36, 36], "grid": [3, 3, 3], "patch_size": [10, 10, 10]}


def tiny(bundle):
    """Sizes that make a bundle quick to audit; each takes the keys that it has."""
    content = json.loads((ROOT / bundle / "train.json").read_text(encoding="utf-8"))
    sizes = TINY if "grid" in content else {"crop_size": [16, 16, 16]}
    if bundle.endswith("2d"):
        return {key: [*size[:2], 1] for key, size in sizes.items()}
    sizes = sizes | {"views": 10}  # all classes of one volume: a tenth of the volumes
    return {key: size for key, size in sizes.items() if key in content}


@pytest.mark.slow
@pytest.mark.parametrize("bundle", PRETEXT)
def test_no_bundle_has_a_shortcut_and_the_audit_would_see_it(bundle, monkeypatch):
    monkeypatch.setattr(guessing, "_TREES", 100)
    # Of few classes a guess is right more often, and its share varies more.
    wide = bundle == "rotation2d" or bundle.startswith("jigsaw")  # all patches of a draw answer one question
    closed = audit(bundle, overrides=tiny(bundle), samples=4000 if wide else 1200)
    assert closed.ok, closed.text()
    measures = ("intensity", "mask", *(("detrend",) if bundle.startswith("rotation") else ()))
    for measure in measures:
        opened = audit(bundle, overrides=tiny(bundle), samples=800, without=[measure])
        assert opened.has_power() == {measure: True}, opened.text()
