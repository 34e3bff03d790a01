from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from monai.bundle import ConfigWorkflow

from medvol.bundles import GuardError, run_hash
from medvol.bundles.shards import write_bundle_shards
from medvol.data.shards import Shards
from medvol.networks import find_bundle

pytest.importorskip("webdataset", reason="webdataset is not installed (extra 'scale')")


def batches(bundle: str, options: dict) -> list:
    workflow = ConfigWorkflow(str(find_bundle(bundle) / "train.json"), workflow_type="train", **options)
    workflow.initialize()
    loader = workflow.parser.get_parsed_content("train::dataloader")
    return [batch for batch, _ in zip(loader, range(3), strict=False)]


@pytest.mark.parametrize("bundle", ["cpc3d", "unet_brats"])
def test_a_bundle_reads_the_shards_it_wrote(bundle: str, overrides: Callable[..., dict], tmp_path: Path) -> None:
    options = overrides(bundle)
    folder = write_bundle_shards(bundle, tmp_path / "shards", 2, **options)
    assert Shards(folder).sizes == [2, 1]
    found = batches(bundle, {**options, "shards": str(folder), "cache_dir": str(tmp_path / "unused")})
    assert {tuple(batch["image"].shape[2:]) for batch in found} == {
        tuple(batch["image"].shape[2:]) for batch in batches(bundle, options)
    }
    assert len({int(p) for batch in found for p in batch["patient"]}) == 3
    assert not list((tmp_path / "unused").rglob("*.pt")) or bundle == "cpc3d", "only its validation fills a cache"


def test_other_shards_are_refused(overrides: Callable[..., dict], tmp_path: Path) -> None:
    options = overrides("cpc3d")
    folder = write_bundle_shards("cpc3d", tmp_path / "shards", **options)
    plain = run_hash(options)
    assert run_hash({**options, "shards": str(folder)}) != plain, "another order is another run"
    with pytest.raises(GuardError, match="shards of this very data set"):
        batches("cpc3d", {**options, "shards": str(tmp_path / "nowhere")})
    with pytest.raises(GuardError, match="deterministic transforms"):
        batches(
            "cpc3d",
            {
                **options,
                "shards": str(folder),
                "spacing": [2.0, 2.0, 2.0],
                "crop_size": [12, 12, 12],
                "min_gap": 0,
                "patch_size": [4] * 3,
            },
        )


def test_refusals(overrides: Callable[..., dict], dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(GuardError, match="did you mean 'modalities'"):
        write_bundle_shards("cpc3d", tmp_path / "a", **overrides("cpc3d"), modalites=["t1"])
    content = json.loads(dataset.read_text()) | {"training": [], "root": str(dataset.parent)}
    (tmp_path / "empty.json").write_text(json.dumps(content))
    empty = {"manifest": str(tmp_path / "empty.json"), "dataset_dir": str(dataset.parent)}
    with pytest.raises(GuardError, match="at least one training case"):
        write_bundle_shards("cpc3d", tmp_path / "a", **overrides("cpc3d", **empty))
    assert not (tmp_path / "a").exists()
