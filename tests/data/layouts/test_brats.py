import pytest

from medvol.data import load_manifest, write_manifest
from medvol.data.layouts.brats import import_brats

FOUR = {"background": 0, "necrosis": 1, "oedema": 2, "non_enhancing": 3, "enhancing": 4}
GAP = {"background": 0, "necrosis": 1, "oedema": 2, "enhancing": 4}
THREE = {"background": 0, "necrosis": 1, "oedema": 2, "enhancing": 3}
NEW = ("t2f", "t1n", "t1c", "t2w", "seg")
OLD = ("flair", "t1", "t1ce", "t2", "seg")
VSD = ("MR_Flair", "MR_T1", "MR_T1c", "MR_T2", "OT")


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def case_files(folder, case, kinds=OLD, separator="_", ending=".nii.gz"):
    return [f"{folder}{case}/{case}{separator}{kind}{ending}" for kind in kinds]


def vsd_files(folder, more, numbered):
    files = []
    for k, kind in enumerate(VSD):
        name = f"VSD.Brain_3more.{more}.OT" if kind == "OT" else f"VSD.Brain.XX.O.{kind}"
        files.append(f"{folder}/{name}{f'.{k}' if numbered else ''}/{name}.{54512 + k}.mha")
    return files


TCIA, FIRST = "brats_tcia_pat100", "BraTS20_Training_001"
YEARS = {
    2013: (vsd_files("Image_Data/HG/0001", "XX.XX", False), "HG_0001", "HG_0001", "HGG", FOUR),
    2015: (vsd_files(f"HGG/{TCIA}_0001", "XX.O", True), f"{TCIA}_0001", TCIA, "HGG", FOUR),
    2017: (case_files("HGG/", "Brats17_TCIA_105_1"), "Brats17_TCIA_105_1", "Brats17_TCIA_105", "HGG", GAP),
    2018: (case_files("LGG/", "Brats18_CBICA_AAB_1"), "Brats18_CBICA_AAB_1", "Brats18_CBICA_AAB", "LGG", GAP),
    2019: (case_files("LGG/", "BraTS19_TMC_06290_1"), "BraTS19_TMC_06290_1", "BraTS19_TMC_06290", "LGG", GAP),
    2020: (case_files("", FIRST, ending=".nii"), FIRST, FIRST, None, GAP),
    2021: (case_files("", "BraTS2021_00000"), "BraTS2021_00000", "BraTS2021_00000", None, GAP),
    2023: (case_files("", "BraTS-GLI-00000-000", NEW, "-"), "BraTS-GLI-00000-000", "BraTS-GLI-00000", None, THREE),
    2024: (
        case_files("", "BraTS-GLI-00005-100", NEW, "-"), "BraTS-GLI-00005-100", "BraTS-GLI-00005", None,
        {**THREE, "resection_cavity": 4},
    ),
}  # fmt: skip


@pytest.mark.parametrize("year", YEARS)
def test_each_year(tmp_path, year):
    files, case, patient, grade, label_map = YEARS[year]
    touch(tmp_path, *files, "survival_info.csv", "readme.nii.txt")
    manifest = import_brats(tmp_path)
    (item,) = manifest.sections["training"]
    assert item["image"] == files[:4]
    assert item["label"] == files[4]
    assert (item["case"], item["patient"], item.get("group")) == (case, patient, grade)
    assert manifest.modalities == ("flair", "t1", "t1ce", "t2")
    assert manifest.label_map == label_map
    assert import_brats(tmp_path, year=year).sections == manifest.sections
    assert load_manifest(write_manifest(tmp_path / "m.json", manifest)) == manifest
    manifest.check()
    other = 2021 if year != 2021 else 2020
    with pytest.raises(ValueError, match=f"must be the year of the names; found {other}"):
        import_brats(tmp_path, year=other)


def test_time_points_are_one_patient(tmp_path):
    for case in ("BraTS-GLI-00007-000", "BraTS-GLI-00007-001", "BraTS-GLI-00008-000"):
        touch(tmp_path, *case_files("ASNR-MICCAI-BraTS2023-GLI-Challenge-TrainingData/", case, NEW, "-"))
    manifest = import_brats(tmp_path)
    assert [item["patient"] for item in manifest.sections["training"]] == [
        "BraTS-GLI-00007", "BraTS-GLI-00007", "BraTS-GLI-00008",
    ]  # fmt: skip


def test_official_sections_and_unlabelled_cases(tmp_path):
    root = tmp_path / "brats20-dataset-training-validation"
    touch(root, *case_files("BraTS2020_TrainingData/", "BraTS20_Training_001"))
    touch(root, *case_files("BraTS2020_ValidationData/", "BraTS20_Validation_001", OLD[:4]))
    manifest = import_brats(root)
    assert manifest.patients("training") == ["BraTS20_Training_001"]
    assert manifest.patients("validation") == ["BraTS20_Validation_001"]
    assert "label" not in manifest.sections["validation"][0]
    assert manifest.provenance[0]["unlabelled"] == 1
    alone = import_brats(root / "BraTS2020_ValidationData", section="training")
    assert alone.patients("training") == ["BraTS20_Validation_001"]


def test_grades_of_2020_and_the_misnamed_label(tmp_path):
    touch(tmp_path, *case_files("", "BraTS20_Training_355", OLD[:4], ending=".nii"))
    touch(tmp_path, "BraTS20_Training_355/W39_1998.09.19_Segm.nii")
    touch(tmp_path, *case_files("", "BraTS20_Training_001"))
    rows = ["Grade,BraTS_2019_subject_ID,BraTS_2020_subject_ID", "LGG,NA,BraTS20_Training_355"]
    (tmp_path / "name_mapping.csv").write_text("\n".join(rows) + "\n")
    first, second = import_brats(tmp_path).sections["training"]
    assert second["label"] == "BraTS20_Training_355/W39_1998.09.19_Segm.nii"
    assert second["group"] == "LGG"
    assert "group" not in first


def test_options(tmp_path):
    touch(tmp_path, *case_files("", "BraTS2021_00000", ("flair", "t1ce", "seg")))
    with pytest.raises(ValueError, match=r"case 'BraTS2021_00000' must have flair, t1, t1ce, t2; .*lacks t1, t2"):
        import_brats(tmp_path)
    manifest = import_brats(tmp_path, modalities=["t1ce", "flair"], label_map={"tumor": 1}, name="n")
    assert [file[-10:] for file in manifest.sections["training"][0]["image"]] == ["1ce.nii.gz", "air.nii.gz"]
    assert manifest.label_map == {"background": 0, "tumor": 1}
    assert manifest.name == "n"
    assert import_brats(tmp_path, modalities="t1ce", year=2022).description.startswith("BraTS 2022")
    with pytest.raises(ValueError, match="did you mean 't1ce'"):
        import_brats(tmp_path, modalities=["t1c"])
    with pytest.raises(ValueError, match="year must be one that is known; found 2012"):
        import_brats(tmp_path, year=2012)


def test_two_years_in_one_folder(tmp_path):
    touch(tmp_path, *case_files("", "BraTS2021_00000"), *case_files("", "BraTS20_Training_001"))
    with pytest.raises(ValueError, match=r"one year of BraTS; found 2020: .*; 2021: "):
        import_brats(tmp_path)


def test_two_files_for_one_channel(tmp_path):
    touch(tmp_path, *case_files("", "BraTS2021_00000"), "BraTS2021_00000/BraTS2021_00000_t1.nii")
    with pytest.raises(ValueError, match="case 'BraTS2021_00000' must have one t1; found"):
        import_brats(tmp_path)


def test_children_need_a_year(tmp_path):
    touch(tmp_path, *case_files("", "BraTS-PED-00001-000", NEW, "-"))
    with pytest.raises(ValueError, match="differ by year"):
        import_brats(tmp_path)
    assert import_brats(tmp_path, year=2023).label_map == THREE


def test_other_names(tmp_path):
    touch(tmp_path, "case/brain.nii.gz")
    with pytest.raises(FileNotFoundError, match=r"found case/brain.nii.gz in"):
        import_brats(tmp_path)


def test_the_innermost_name_tells_the_section(tmp_path):
    touch(tmp_path, *case_files("BraTS_Validation/redone_training/", "BraTS2021_00000"))
    assert import_brats(tmp_path).patients("training") == ["BraTS2021_00000"]
