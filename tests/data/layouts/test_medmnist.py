import json
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medvol.data.layouts.medmnist import import_medmnist

DATA = os.environ.get("MEDVOL_TEST_DATA")
COUNTS = {"train": 3, "val": 1, "test": 2}


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    images = {f"{part}_images": rng.integers(0, 255, (n, 4, 5, 6), dtype=np.uint8) for part, n in COUNTS.items()}
    return {**images, **{f"{part}_labels": np.arange(n)[:, None] % 2 for part, n in COUNTS.items()}}


@pytest.fixture
def folder(tmp_path, arrays):
    (tmp_path / "npz").mkdir()
    np.savez_compressed(tmp_path / "npz/cubes.npz", **arrays)
    return tmp_path / "npz"


def test_volumes_and_classes(folder, arrays, tmp_path):
    options = {"classes": "normal, mass", "target": "adrenal", "patient": "case"}
    manifest = import_medmnist(folder, convert=tmp_path / "out", **options)
    manifest.check()
    assert manifest.root == tmp_path / "out"
    assert [len(items) for items in manifest.sections.values()] == [3, 1, 2]
    assert [item["targets"]["adrenal"] for item in manifest.sections["training"]] == ["normal", "mass", "normal"]
    image = nib.load(manifest.root / manifest.sections["test"][1]["image"])
    assert image.get_data_dtype() == np.uint8
    assert np.array_equal(image.dataobj, arrays["test_images"][1])


def test_equal_volumes_give_equal_bytes(folder, tmp_path):
    one, two = (import_medmnist(folder, convert=tmp_path / name, patient="case") for name in "ab")
    assert one.hash == two.hash
    files = [item["image"] for item in one.sections["training"]]
    assert [(one.root / f).read_bytes() for f in files] == [(two.root / f).read_bytes() for f in files]
    assert all((one.root / f).read_bytes()[4:8] == bytes(4) for f in files)  # no time of day
    assert one.sections["training"][1]["targets"] == {"label": "1"}


def test_a_cut_off_conversion_goes_on(folder, tmp_path):
    out = tmp_path / "out"
    first = import_medmnist(folder, convert=out, patient="case")
    kept, lost, *_ = (out / item["image"] for item in first.sections["training"])
    lost.rename(lost.with_name(f".{lost.name}.part"))
    time = kept.stat().st_mtime_ns
    second = import_medmnist(folder, convert=out, patient="case")
    second.check()
    assert kept.stat().st_mtime_ns == time
    assert not list(out.rglob(".*.part"))


def test_a_folder_with_other_files_is_refused(folder, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").touch()
    for taken in (tmp_path / "out", tmp_path / "out/mine.txt"):
        with pytest.raises(ValueError, match="found other files"):
            import_medmnist(folder, convert=taken, patient="case")


def test_another_source_is_refused(folder, tmp_path, arrays):
    import_medmnist(folder, convert=tmp_path / "out", patient="case")
    np.savez(folder / "cubes.npz", **{**arrays, "val_images": arrays["val_images"] + 1})
    with pytest.raises(ValueError, match="found other files"):
        import_medmnist(folder, convert=tmp_path / "out", patient="case")
    assert json.loads((tmp_path / "out/source.json").read_text())["source"] == "cubes.npz"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_labels": np.zeros((3, 14), int)}, "one whole number"),
        ({"train_labels": np.zeros((3, 1))}, "one whole number"),
        ({"train_images": np.zeros((3, 28, 28), np.uint8)}, "flat images are not imported"),
        ({"train_images": np.zeros((2, 4, 4, 4), np.uint8)}, "must be 3 volumes"),
        ({"train_images": np.zeros((3, 4, 4, 4), np.float32)}, "of uint8"),
    ],
)
def test_other_arrays_are_refused(folder, tmp_path, arrays, change, message):
    np.savez(folder / "cubes.npz", **{**arrays, **change})
    with pytest.raises(ValueError, match=message):
        import_medmnist(folder, convert=tmp_path / "out", patient="case")
    assert not list((tmp_path / "out").rglob("*.nii.gz"))


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_truncated_file_is_refused(folder, tmp_path, share):
    content = (folder / "cubes.npz").read_bytes()
    (folder / "cubes.npz").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match="get it again"):
        import_medmnist(folder, convert=tmp_path / "out", patient="case")


def test_damaged_voxels_are_refused(folder, tmp_path, arrays):
    np.savez(folder / "cubes.npz", **arrays)
    content = bytearray((folder / "cubes.npz").read_bytes())
    place = content.find(arrays["train_images"].tobytes())
    content[place + 7] ^= 255
    (folder / "cubes.npz").write_bytes(bytes(content))
    with pytest.raises(ValueError, match="is damaged"):
        import_medmnist(folder, convert=tmp_path / "out", patient="case")


def test_a_wrong_checksum_of_the_archive_is_seen_before_the_last_file(folder, tmp_path):
    content = bytearray((folder / "cubes.npz").read_bytes())
    entry = content.rfind(b"train_images.npy") - 46  # its line in the archive's list, the checksum 16 bytes in
    content[entry + 16] ^= 255
    (folder / "cubes.npz").write_bytes(bytes(content))
    for _ in range(2):
        with pytest.raises(ValueError, match="is damaged"):
            import_medmnist(folder, convert=tmp_path / "out", patient="case")
    assert len(list((tmp_path / "out/train").glob("*.nii.gz"))) < COUNTS["train"]


def test_what_must_be_said(folder, tmp_path):
    with pytest.raises(ValueError, match="option patient"):
        import_medmnist(folder, convert=tmp_path / "out")
    with pytest.raises(ValueError, match="classes must name 2 classes"):
        import_medmnist(folder, convert=tmp_path / "out", patient="case", classes="normal")
    with pytest.raises(FileNotFoundError, match=r"needs an \.npz file"):
        import_medmnist(tmp_path, convert=tmp_path / "out", patient="case")
    (folder / "other.npz").touch()
    with pytest.raises(ValueError, match="takes one"):
        import_medmnist(folder, convert=tmp_path / "out", patient="case")
    assert not (tmp_path / "out").exists()
    import_medmnist(folder, convert=tmp_path / "out", patient="case", file="cubes.npz")


@pytest.mark.slow
@pytest.mark.skipif(not DATA, reason="MEDVOL_TEST_DATA does not name a folder with real data")
def test_the_adrenal_glands(tmp_path):
    options = {"classes": ["normal", "mass"], "patient": "case"}
    manifest = import_medmnist(Path(DATA) / "adrenal3d", convert=tmp_path, **options)
    assert [len(items) for items in manifest.sections.values()] == [1188, 98, 298]
    manifest.check()


def test_the_result_passes_verify(folder, errors_of, tmp_path):
    assert errors_of(import_medmnist(folder, convert=tmp_path / "out", patient="case")) == []
