from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from medvol.bundles.packages.card import card_text, model_card, without_front_matter
from medvol.passport import read_passport, write_passport

ROOT = Path(__file__).parents[3] / "bundles"
HEADINGS = [
    "Intended use and limits", "Architecture", "Inputs", "Training data", "Recipe", "Results", "Provenance",
    "How to load", "Citation",
]  # fmt: skip


def metadata(bundle: str) -> dict:
    return json.loads((ROOT / bundle / "metadata.json").read_text(encoding="utf-8"))


def headings(card: str) -> list[str]:
    return [line[3:] for line in card.splitlines() if line.startswith("## ")]


@pytest.mark.parametrize("bundle", ["cpc3d", "unet_brats", "unet_hippocampus"])
def test_a_card_says_everything(bundle: str, trained: dict[str, Path]) -> None:
    card = model_card(trained[bundle] / "model.pt")
    record = read_passport(trained[bundle])
    assert headings(card) == HEADINGS
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["library_name"] == "monai"
    assert {"medical", "monai", "synthetic-data"} <= set(front["tags"])
    assert ("self-supervised" in front["tags"]) == (bundle == "cpc3d")
    assert front["license"] == "other"  # the licence of the data is not stated
    assert front["pipeline_tag"] == ("image-feature-extraction" if bundle == "cpc3d" else "image-segmentation")
    for text in (
        "SYNTHETIC", "Research only. Not a medical device.", record["hash"], record["data"]["hash"], "DynUNet",
        record["versions"]["code"], "3 cases of 3 patients", "voxel spacing of 1 x 1 x 1 mm", "orientation RAS",
        "| learning_rate | ", "| steps made | 2 |", "| examples seen | 4 |", "one run with one seed, without an",
        "load_pretrained", "from monai.networks.nets import DynUNet", *metadata(bundle)["references"],
    ):  # fmt: skip
        assert text in card, text
    origin = "cpc3d, run" if bundle == "unet_brats" else "random weights"
    assert f"| started from | {origin}" in card
    assert ("hd95` are in millimeters" in card) == (bundle != "cpc3d")


def test_a_card_is_the_same_text_from_anywhere(
    trained: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = model_card(trained["cpc3d"] / "model.pt")
    package = tmp_path / "anything"
    (package / "models").mkdir(parents=True)
    for name in ("model.pt", "passport.json"):
        (package / "models" / name).write_bytes((trained["cpc3d"] / name).read_bytes())
    (package / "metadata.json").write_bytes((ROOT / "cpc3d" / "metadata.json").read_bytes())
    monkeypatch.chdir(tmp_path)
    assert model_card(package) == model_card("anything/models/model.pt") == card


def test_foreign_values_cannot_leave_their_place(trained: dict[str, Path]) -> None:
    record = read_passport(trained["cpc3d"])
    record["data"]["licence"] = "a | b\n\n# Owned\n<script>"
    record["intended_use"] = "# Owned\n```\n"
    record["metrics"] = {"x|y": 1.0, "lost": None}
    record["modalities"] = ["t1\n## Owned"]
    card = card_text(record, metadata("cpc3d"))
    assert headings(card) == HEADINGS
    assert "\n# Owned" not in card
    assert "<script>" not in card
    assert r"| licence | a \| b # Owned \<script\> |" in card
    assert r"| x\|y | 1 |" in card
    assert "| lost | not a number |" in card
    assert card.count("```") == 4


def test_free_terms_only_where_code_data_and_start_are_free(trained: dict[str, Path]) -> None:
    record = read_passport(trained["cpc3d"])
    record["data"] |= {"licence": "Apache-2.0", "synthetic": False}
    front = card_text(record, {}).split("---\n")[1]
    assert yaml.safe_load(front)["license"] == "apache-2.0"
    assert "synthetic" not in front.lower()
    record["pretrained"] = {"bundle": "other"}
    assert yaml.safe_load(card_text(record, {}).split("---\n")[1])["license"] == "other"


def test_an_old_passport_gives_a_card_that_says_what_is_not_stated() -> None:
    card = card_text(
        {"bundle": "cpc3d", "architecture": {"_target_": "medvol.networks.Encoder", "network": "@unet"}}, {}
    )
    assert headings(card) == HEADINGS
    assert card.count("ot stated") >= 4


def test_without_front_matter_the_card_begins_with_its_title(trained: dict[str, Path]) -> None:
    card = model_card(trained["cpc3d"] / "model.pt")
    assert without_front_matter(card).startswith("# Model card: cpc3d\n")
    assert without_front_matter("# Text\n\n---\n\nmore") == "# Text\n\n---\n\nmore"


def test_weights_without_a_passport_and_none_at_all_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"passport of the weights; found none at .*; copy passport\.json"):
        model_card(tmp_path / "model.pt")
    with pytest.raises(FileNotFoundError, match=r"weights; found 'none'; name a file"):
        model_card("none")
    with pytest.raises(FileNotFoundError, match="existing file"):
        model_card(tmp_path / "gone.pt")
    write_passport(tmp_path, {"bundle": "no_such_bundle", "run": "r"})
    assert headings(model_card(tmp_path / "model.pt")) == HEADINGS
