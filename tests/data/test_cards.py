"""The cards of public sets: their form, their agreement with the importers, and import by card."""

import inspect
import json
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medvol.data import cards, layouts, load_manifest
from medvol.data.cards import card_names, import_card, load_card
from medvol.data.layouts import LAYOUTS, find_importer

ROOT = Path(__file__).parents[2]
DATA = os.environ.get("MEDVOL_TEST_DATA")
NAMED = {
    "ukb_brain", "brats2018", "brats2020", "brats2021", "brats2023", "msd_task01", "msd_task04", "msd_task07",
    "openmind", "chestxray14", "chexpert", "mimic_cxr", "mura", "rsna_pneumonia", "covidx", "openi", "ct_rate", "aptos",
    "brats2013", "kermany", "adrenal3d",
}  # fmt: skip
# What no card can know, since it is a place on the user's machine.
PLACES = {"adrenal3d": {"convert"}}


@pytest.fixture(autouse=True)
def _in_the_tree(monkeypatch):
    monkeypatch.chdir(ROOT)


def write_image(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.full((4, 4, 4), value, np.uint8), np.eye(4)), path)
    return path


def write_msd(folder, labels, modality, training, test=()):
    entries = {"training": [], "test": []}
    for case in training:
        write_image(folder / f"imagesTr/{case}.nii.gz")
        write_image(folder / f"labelsTr/{case}.nii.gz")
        entries["training"].append({"image": f"./imagesTr/{case}.nii.gz", "label": f"./labelsTr/{case}.nii.gz"})
    for case in test:
        write_image(folder / f"imagesTs/{case}.nii.gz")
        entries["test"].append(f"./imagesTs/{case}.nii.gz")
    counts = {"numTraining": len(training), "numTest": len(test)}
    head = {"name": "x", "modality": modality, "labels": labels, **counts, **entries}
    (folder / "dataset.json").write_text(json.dumps(head))
    return folder


TASK01 = {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"}
TASK01_MODALITY = {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}
TASK04 = {"0": "background", "1": "Anterior", "2": "Posterior"}


OBSERVATIONS = ",".join(load_card("chexpert").targets)
EMPTY = "," * OBSERVATIONS.count(",")
# The smallest folder of each layout: path to its text; most importers look only whether an image is there.
IMITATIONS = {
    "ukb_brain": {"1000012_20252_2_0/T1/T1_brain.nii.gz": "", "1000012_20253_2_0/T2_FLAIR/T2_FLAIR_brain.nii.gz": ""},
    "brats2018": {f"HGG/Brats18_A_1_1/Brats18_A_1_1_{k}.nii.gz": "" for k in ("flair", "t1", "t1ce", "t2", "seg")},
    "brats2020": {
        f"BraTS20_Training_001/BraTS20_Training_001_{k}.nii": "" for k in ("flair", "t1", "t1ce", "t2", "seg")
    },
    "brats2021": {f"BraTS2021_00000/BraTS2021_00000_{k}.nii.gz": "" for k in ("flair", "t1", "t1ce", "t2", "seg")},
    "brats2023": {
        f"BraTS-GLI-00000-000/BraTS-GLI-00000-000-{k}.nii.gz": "" for k in ("t2f", "t1n", "t1c", "t2w", "seg")
    },
    "brats2013": {f"brats_2013_pat0003_1/brats_2013_pat0003_1_{k}.nii.gz": "" for k in ("flair", "t1ce", "seg")},
    "chestxray14": {
        "Data_Entry_2017_v2020.csv": "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,"
        "View Position\n1_0.png,Effusion,0,1,57,M,PA\n2_0.png,No Finding,0,2,58,F,AP\n",
        "train_val_list.txt": "1_0.png",
        "test_list.txt": "2_0.png",
        "images/1_0.png": "",
        "images/2_0.png": "",
    },
    "chexpert": {
        "train.csv": f"Path,Sex,Age,Frontal/Lateral,AP/PA,{OBSERVATIONS}\n"
        f"x/train/patient00001/study1/view1_frontal.jpg,Male,60,Frontal,AP,{EMPTY}\n",
        "train/patient00001/study1/view1_frontal.jpg": "",
    },
    "mimic_cxr": {
        "mimic-cxr-2.0.0-split.csv": "dicom_id,study_id,subject_id,split\naa-1,50414267,10000032,train\n",
        "mimic-cxr-2.0.0-metadata.csv": "dicom_id,subject_id,study_id,ViewPosition\naa-1,10000032,50414267,PA\n",
        "mimic-cxr-2.0.0-chexpert.csv": f"subject_id,study_id,{OBSERVATIONS}\n10000032,50414267,{EMPTY}\n",
        "files/p10/p10000032/s50414267/aa-1.jpg": "",
    },
    "mura": {
        "train_image_paths.csv": "MURA-v1.1/train/XR_WRIST/patient00001/study1_positive/image1.png\n",
        "valid_image_paths.csv": "MURA-v1.1/valid/XR_WRIST/patient00002/study1_negative/image1.png\n",
        "train/XR_WRIST/patient00001/study1_positive/image1.png": "",
        "valid/XR_WRIST/patient00002/study1_negative/image1.png": "",
    },
    "rsna_pneumonia": {
        "stage_2_train_labels.csv": "patientId,x,y,width,height,Target\naaa,,,,,0\n",
        "stage_2_detailed_class_info.csv": "patientId,class\naaa,Normal\n",
        "stage_2_train_images/aaa.dcm": "",
    },
    "covidx": {
        "train_COVIDx_CXR-3A.txt": "1 a.png COVID-19 cohen\n",
        "test_COVIDx_CXR-3A.txt": "2 b.png normal rsna\n",
        "train/a.png": "",
        "test/b.png": "",
    },
    "openi": {
        "ecgen-radiology/1.xml": '<e><uId id="CXR1"/><MeSH><major>normal</major></MeSH><parentImage id="a"/></e>',
        "NLMCXR_png/a.png": "",
    },
    "ct_rate": {
        **{
            f"dataset/multi_abnormality_labels/{part}_predicted_labels.csv": f"VolumeName,"
            f"{','.join(load_card('ct_rate').targets)}\n{part}_1_a_1.nii.gz{',0' * 18}\n"
            for part in ("train", "valid")
        },
        **{f"dataset/{part}_fixed/{part}_1/{part}_1_a/{part}_1_a_1.nii.gz": "" for part in ("train", "valid")},
    },
    "aptos": {"train.csv": "id_code,diagnosis\n000c,2\n", "train_images/000c.png": ""},
    "kermany": {
        "manifest.csv": "id,path,subset,split,patient,group,view,sex,age,labels,text,text_kind,width,height,licence,"
        "source_url,doi,credit,source_file,sha256\n"
        + "".join(
            f"{i},kermany/{i}.png,kermany,{split},{i},,,,,{label},,,224,224,CC BY 4.0,,,,,{'0' * 64}\n"
            for i, (split, label) in enumerate(
                [
                    ("train", "Normal"),
                    ("train", "Pneumonia|Viral"),
                    ("val", "Pneumonia|Bacterial"),
                    ("val", "Pneumonia|Bacterial"),
                ]
            )
        ),
        **{f"kermany/{i}.png": "" for i in range(4)},
    },
    "openmind": {
        "pretrain_data.json": json.dumps({
            "collection_index": 745, "collection_name": "OpenMind", "datasets": {"ds000001": {
                "dataset_index": "ds000001", "name": "x", "dataset_info": {}, "subjects": {"sub-01": {
                    "subject_id": "sub-01", "subject_info": {}, "sessions": {"ses-1": {
                        "session_id": "ses-1", "session_info": {}, "images": [{
                            "name": "a.nii.gz", "image_path": "OpenMind/ds000001/sub-01/a.nii.gz", "modality": "T1w",
                            "image_info": {}, "associated_masks": {}}]}}}}}}}),
        "OpenMind/ds000001/sub-01/a.nii.gz": "",
    },
}  # fmt: skip


def test_every_set_that_the_project_names_has_a_card():
    assert set(card_names()) == NAMED


@pytest.mark.parametrize("name", sorted(NAMED))
def test_a_card_agrees_with_itself_and_the_others(name):
    card = load_card(name)
    structures = set(card.label_map) - {"background"}
    assert {label for labels in card.regions.values() for label in labels} == structures
    assert {other["set"] for other in card.overlaps} <= NAMED - {name}
    for other in card.overlaps:  # an overlap is told on both cards
        assert name in {back["set"] for back in load_card(other["set"]).overlaps}
    assert card.counts or card.unverified, "no numbers, and no word about it"
    assert sorted(set(card.label_map.values())) == sorted(card.label_map.values())


@pytest.mark.parametrize("name", sorted(NAMED))
def test_the_importer_of_a_card_exists_and_takes_its_options(name):
    layout = load_card(name).layout
    assert layout["importer"] in LAYOUTS
    parameters = inspect.signature(find_importer(layout["importer"])).parameters
    own = {key: p for key, p in parameters.items() if p.kind is p.KEYWORD_ONLY and key != "name"}
    assert set(layout["options"]) <= set(own)
    needed = {key for key, p in own.items() if p.default is p.empty}
    assert needed - set(layout["options"]) == PLACES.get(name, set())


def test_targets_are_those_of_the_importers():
    from medvol.data.layouts.aptos import GRADES
    from medvol.data.layouts.chestxray import FINDINGS
    from medvol.data.layouts.chexpert import OBSERVATIONS, STATES

    assert load_card("aptos").targets == {"retinopathy": list(GRADES)}
    assert load_card("chestxray14").targets == {f: ["absent", "present"] for f in (*FINDINGS, "No Finding")}
    for name in ("chexpert", "mimic_cxr"):
        assert load_card(name).targets == {observation: list(STATES) for observation in OBSERVATIONS}
    assert len(load_card("ct_rate").targets) == 18


def test_brats_labels_regions_and_channels_are_those_of_the_bundle():
    content = json.loads((ROOT / "bundles/unet_brats/train.json").read_text())
    regions = dict(content["regions"])
    maps = {
        "brats2013": {"necrosis": 1, "oedema": 2, "non_enhancing": 3, "enhancing": 4},
        **{f"brats20{year}": {"necrosis": 1, "oedema": 2, "enhancing": 4} for year in (18, 20, 21)},
        "brats2023": {"necrosis": 1, "oedema": 2, "enhancing": 3},
        "msd_task01": {"oedema": 1, "non_enhancing": 2, "enhancing": 3},
    }
    for name, label_map in maps.items():
        card = load_card(name)
        assert card.label_map == {"background": 0, **label_map}
        assert card.regions == {r: [label for label in labels if label in label_map] for r, labels in regions.items()}
        assert card.modalities == (["flair", "t1ce"] if name == "brats2013" else ["flair", "t1", "t1ce", "t2"])


def test_no_card_is_called_so():
    with pytest.raises(FileNotFoundError, match="did you mean 'msd_task01'"):
        load_card("msd_task1")
    with pytest.raises(FileNotFoundError, match=r"none is called '\.\./brats2013'"):
        load_card("../brats2013")
    with pytest.raises(FileNotFoundError, match="none is called ''"):
        load_card("")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"access": ""}, "found at access"),
        ({"traps": "none"}, "found at traps"),
        ({"acces": "open"}, "acces"),
        ({"counts": {"train": {"cases": 1, "patients": 1}}}, "found at counts"),
        ({"counts": {"test": {"cases": -1, "patients": None}}}, "found at counts/test/cases"),
        ({"name": "other"}, "must be 'mine'"),
    ],
)
def test_a_card_that_breaks_the_schema_is_refused(change, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data_manifests/cards"
    folder.mkdir(parents=True)
    content = json.loads((ROOT / "data_manifests/cards/mura.json").read_text())
    (folder / "mine.json").write_text(json.dumps({**content, "name": "mine"}))
    assert load_card("mine").name == "mine"
    assert {"mine", "mura"} <= set(card_names())
    (folder / "mine.json").write_text(json.dumps({**content, "name": "mine", **change}))
    with pytest.raises(ValueError, match=message):
        load_card("mine")
    (folder / "mine.json").write_text("{")
    with pytest.raises(ValueError, match="must be JSON"):
        load_card("mine")


def test_cards_and_schemas_are_no_manifests():
    for name in ("mura", "manifest.schema", "card.schema"):
        with pytest.raises(FileNotFoundError):
            load_manifest(name)


@pytest.mark.parametrize("name", sorted(NAMED - {"msd_task01", "msd_task04", "msd_task07", "adrenal3d"}))
def test_each_set_in_small_is_what_its_card_says(name, tmp_path):
    for path, text in IMITATIONS[name].items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    card = load_card(name)
    manifest, notes = import_card(name, tmp_path)
    manifest.check()
    assert (manifest.label_map, manifest.targets) == (card.label_map, card.targets)
    assert list(manifest.modalities) == (card.modalities or ["T1w"])
    assert all(" at its source; found " in note for note in notes)


def test_shapes_in_small_are_what_their_card_says(tmp_path):
    images, labels = np.zeros((2, 4, 4, 4), np.uint8), np.array([[0], [1]])
    arrays = {f"{part}_{key}": value for part in ("train", "val", "test") for key, value in
              (("images", images), ("labels", labels))}  # fmt: skip
    np.savez(tmp_path / "adrenalmnist3d_64.npz", **arrays)
    manifest, _ = import_card("adrenal3d", tmp_path, convert=tmp_path / "volumes")
    assert manifest.targets == load_card("adrenal3d").targets
    assert list(manifest.modalities) == load_card("adrenal3d").modalities


def test_pancreas_in_small(tmp_path):
    labels = {"0": "background", "1": "pancreas", "2": "cancer"}
    manifest, notes = import_card("msd_task07", write_msd(tmp_path / "x", labels, {"0": "CT"}, ["pancreas_001"]))
    assert manifest.label_map == load_card("msd_task07").label_map
    assert notes[0] == "training of 'msd_task07' has 281 cases at its source; found 1"


def test_brats_by_card(tmp_path):
    for case in ("BraTS2021_00000", "BraTS2021_00002"):
        for kind in ("flair", "t1", "t1ce", "t2", "seg"):
            write_image(tmp_path / f"data/{case}/{case}_{kind}.nii.gz")
    manifest, notes = import_card("brats2021", tmp_path / "data")
    card = load_card("brats2021")
    assert (manifest.name, manifest.licence, manifest.reference) == ("brats2021", card.licence, card.reference)
    assert manifest.description == card.title
    assert manifest.label_map == card.label_map
    assert manifest.provenance[-1]["card"] == "brats2021"
    assert manifest.provenance[-1]["layout"] == "brats"
    assert notes == [
        "training of 'brats2021' has 1251 cases at its source; found 2",
        "validation of 'brats2021' has 219 cases at its source; found 0",
    ]
    assert import_card("brats2021", tmp_path / "data", name="mine")[0].name == "mine"
    with pytest.raises(ValueError, match="year"):
        import_card("brats2023", tmp_path / "data")


def test_options_of_the_user_win_and_are_told(tmp_path):
    for kind in ("flair", "t1", "t1ce", "t2", "seg"):
        write_image(tmp_path / f"data/BraTS2021_00000/BraTS2021_00000_{kind}.nii.gz")
    manifest, notes = import_card("brats2021", tmp_path / "data", modalities=["t1ce"])
    assert manifest.modalities == ("t1ce",)
    assert any(note.startswith("modalities of 'brats2021' must be") for note in notes)
    with pytest.raises(ValueError, match="did you mean 'modalities'"):
        import_card("brats2021", tmp_path / "data", modalitys=["t1ce"])


def test_names_of_the_decathlon_become_medvols(tmp_path):
    folder = write_msd(tmp_path / "task", TASK01, TASK01_MODALITY, ["BRATS_001"])
    manifest, _ = import_card("msd_task01", folder)
    assert manifest.label_map == {"background": 0, "oedema": 1, "non_enhancing": 2, "enhancing": 3}
    assert manifest.modalities == ("flair", "t1", "t1ce", "t2")


def test_labels_in_another_order_are_refused(tmp_path):
    swapped = {"0": "background", "1": "edema", "2": "enhancing tumour", "3": "non-enhancing tumor"}
    folder = write_msd(tmp_path / "task", swapped, TASK01_MODALITY, ["BRATS_001"])
    with pytest.raises(ValueError, match=r"label_map of 'msd_task01' must be .*found .*'enhancing': 2.*check that"):
        import_card("msd_task01", folder)
    with pytest.raises(ValueError, match="label_map of 'msd_task01'"):
        import_card("msd_task01", folder, name="mine", patient="case")  # neither excuses the labels


def test_channels_in_another_order_are_refused(tmp_path):
    other = {"0": "T1w", "1": "FLAIR", "2": "t1gd", "3": "T2w"}
    folder = write_msd(tmp_path / "task", TASK01, other, ["BRATS_001"])
    with pytest.raises(ValueError, match="modalities of 'msd_task01'"):
        import_card("msd_task01", folder)


def test_two_sides_of_a_head_are_one_patient(tmp_path):
    cases = ["hippocampus_001", "hippocampus_003", "hippocampus_004"]
    folder = write_msd(tmp_path / "task", TASK04, {"0": "MRI"}, cases, ["hippocampus_002", "hippocampus_005"])
    manifest, notes = import_card("msd_task04", folder)
    assert [item["patient"] for item in manifest.sections["training"]] == ["S001", "S002", "S002"]
    assert [item["patient"] for item in manifest.sections["test"]] == ["S003"]
    assert "1 images of test are left out: their patient stands in an earlier section" in notes
    by_image, _ = import_card("msd_task04", folder, patient="case")
    assert len(by_image.patients("training")) == 3


def test_numbers_of_patients_are_told(tmp_path, monkeypatch):
    items = [{"image": f"{i}.nii.gz", "patient": f"P{i}"} for i in range(3)]
    card = load_card("ct_rate")
    made = cards.Manifest("x", tmp_path, ("ct",), {}, False, {"test": items}, targets=card.targets, provenance=[{}])
    monkeypatch.setattr(layouts, "import_manifest", lambda *given, **options: made)
    _, notes = import_card("ct_rate", tmp_path)
    assert notes == [
        "training of 'ct_rate' has 20000 patients at its source; found 0",
        "validation of 'ct_rate' has 1304 patients at its source; found 0",
        "'ct_rate' has no test at its source; found 3 cases",
    ]


@pytest.mark.skipif(not DATA, reason="MEDVOL_TEST_DATA does not name a folder with real data")
@pytest.mark.parametrize("name", ["brats2013", "kermany"])
def test_real_sets_are_as_their_cards_say(name):
    folder = Path(DATA) / {"kermany": "cxr"}.get(name, name)
    manifest, notes = import_card(name, folder)
    assert not notes
    manifest.check()


@pytest.mark.skipif(not DATA, reason="MEDVOL_TEST_DATA does not name a folder with real data")
def test_the_card_finds_the_subjects_of_the_committed_hippocampus():
    found, _ = import_card("msd_task04", Path(DATA) / "hippocampus")
    patient = {item["image"]: item["patient"] for items in found.sections.values() for item in items}
    for items in load_manifest("hippocampus").sections.values():
        assert all(patient[item["image"]] == item["patient"] for item in items)
