import json

import pytest

from medvol.data import load_manifest, write_manifest
from medvol.data.layouts.nnssl import import_nnssl

MASKS = {"anonymization_mask": "$nnssl_raw/Dataset745/ds1/a_anon.nii.gz", "anatomy_mask": None}


def image(name, modality="T1w", start="$nnssl_raw/Dataset745/", masks=None, **info):
    path = f"{start}ds1/{name}"
    return {"name": name, "image_path": path, "modality": modality, "image_info": info, "associated_masks": masks}


def corpus(**changes):
    scores = [
        {"modality": "T1w", "derived_from": None, "image_quality_score": 2.5},
        {"modality": "DWI", "derived_from": "b0", "image_quality_score": float("nan")},
    ]
    sessions = {
        "ses-1": {
            "session_id": "ses-1",
            "session_info": {"age": 30},
            "images": [
                image("a.nii.gz", masks=MASKS, manufacturer="S", echo_time=0.5, nested={"x": 1}),
                image("b.nii.gz", "DWI", derived_from="b0"),
            ],
        },
        "ses-2": {"session_id": "ses-2", "session_info": None, "images": [image("a.nii.gz")]},
    }
    subjects = {"sub-1": {"subject_id": "sub-1", "subject_info": {"age": 20, "sex": "n/a"}, "sessions": sessions}}
    other = {
        "sub-1": {"subject_id": "sub-1", "subject_info": None, "sessions": {"ses-1": {"images": [image("c.nii")]}}}
    }
    return {
        "collection_index": 745,
        "collection_name": "OpenMind",
        "datasets": {
            "ds1": {
                "dataset_index": "ds1", "name": None, "subjects": subjects,
                "dataset_info": {"image_quality_score": scores},
            },
            "ds2": {"dataset_index": "ds2", "name": None, "dataset_info": None, "subjects": other},
        },
        **changes,
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "Dataset745").mkdir()
    (tmp_path / "Dataset745" / "pretrain_data.json").write_text(json.dumps(corpus()))
    return tmp_path / "Dataset745"


def test_each_image_is_an_item(folder):
    manifest = import_nnssl(folder, modality="T1w")
    assert (manifest.name, manifest.modalities) == ("OpenMind", ("T1w",))
    first, second, third = manifest.sections["training"]
    assert first == {
        "image": "ds1/a.nii.gz",
        "patient": "ds1_sub-1",
        "case": "ds1_sub-1_ses-1_a",
        "columns": {
            "age": 30, "manufacturer": "S", "echo_time": 0.5, "anonymization_mask": "ds1/a_anon.nii.gz",
            "dataset": "ds1", "session": "ses-1", "modality": "T1w", "image_quality_score": 2.5,
        },
    }  # fmt: skip
    assert second["columns"]["age"] == 20
    assert "sex" not in second["columns"]
    assert third["patient"] == "ds2_sub-1"
    assert "image_quality_score" not in third["columns"]
    assert manifest.provenance[0]["images"] == {"T1w": 3}
    assert load_manifest(write_manifest(folder / "m.json", manifest)) == manifest


def test_several_modalities_need_a_choice(folder):
    with pytest.raises(ValueError, match=r"has DWI, T1w; choose one"):
        import_nnssl(folder)
    both = import_nnssl(folder, modality=["T1w", "DWI"])
    assert both.modalities == ("image",)
    assert len(both.sections["training"]) == 4
    assert "image_quality_score" not in both.sections["training"][1]["columns"]
    with pytest.raises(ValueError, match="did you mean 'T1w'"):
        import_nnssl(folder, modality="T1")


@pytest.mark.parametrize(
    ("start", "strip", "expected"),
    [
        ("$nnssl_raw/Dataset745/", None, "ds1/x.nii"),
        ("$nnssl_raw/other/", None, "other/ds1/x.nii"),
        ("", None, "ds1/x.nii"),
        ("/data/OpenMind/", "/data/OpenMind", "ds1/x.nii"),
        ("$a/b/c/", "$a/b", "c/ds1/x.nii"),
    ],
)
def test_where_paths_start(folder, start, strip, expected):
    datasets = {"d": {"subjects": {"s": {"sessions": {"e": {"images": [image("x.nii", start=start)]}}}}}}
    (folder / "list.json").write_text(json.dumps(corpus(datasets=datasets)))
    (item,) = import_nnssl(folder, file="list.json", strip=strip).sections["training"]
    assert item["image"] == expected


@pytest.mark.parametrize(
    ("images", "options", "match"),
    [
        ([image("x.nii", start="/data/")], {}, "must be inside .*option strip"),
        ([image("x.nii", start="/data/")], {"strip": "/other"}, "must begin with '/other'; found /data/ds1/x.nii"),
        ([{"name": "x", "modality": "T1w"}], {}, "must have the key 'image_path'; found name, modality"),
        ([], {}, "must list images"),
    ],
)
def test_refusals(folder, images, options, match):
    datasets = {"d": {"subjects": {"s": {"sessions": {"e": {"images": images}}}}}}
    (folder / "pretrain_data.json").write_text(json.dumps(corpus(datasets=datasets)))
    with pytest.raises(ValueError, match=match):
        import_nnssl(folder, **options)


def test_no_list(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has the file pretrain_data.json"):
        import_nnssl(tmp_path)
    (tmp_path / "pretrain_data.json").write_text("{}")
    with pytest.raises(ValueError, match="must have the key 'datasets'"):
        import_nnssl(tmp_path)
