import csv
import itertools

import pytest

from medvol.data.files import checksum
from medvol.data.layouts.radiographs import import_radiographs

KEYS = ["path", "subset", "split", "patient", "view", "sex", "age", "labels", "text", "text_kind", "licence", "sha256"]


def rows():
    classes = ("Normal", "Pneumonia|Bacterial", "Pneumonia|Viral")
    for i in range(18):
        split = "val" if i >= 6 else "train"
        person = (f"K{i}", "AP", "", "1-5 y (cohort)", classes[i % 3])
        yield [f"kermany/k{i}.jpg", "kermany", split, *person, "", "", "CC BY 4.0"]
    yield ["nih/n1.png", "nih", "train", "N1", "PA", "F", "54", "No Finding", "", "", "NIH"]
    yield ["nih/n2.png", "nih", "val", "N2", "AP", "M", "62", "Effusion|Mass", "", "", "NIH"]
    note = ("clinical note", "CC BY-NC-SA 4.0")
    yield ["covid/c1.png", "covid", "train", "C1", "PA", "F", "71", "COVID-19", "A secret story.", *note]
    yield ["covid/c2.png", "covid", "val", "C2", "L", "", "", "Lipoid", "Another.", "clinical note", "CC BY 4.0"]


@pytest.fixture
def folder(tmp_path, write_image):
    with (tmp_path / "manifest.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(KEYS)
        for row in rows():
            table.writerow([*row, checksum(write_image(tmp_path / row[0]))])
    return tmp_path


def test_kermany_halves_its_val_by_patient_and_class(folder):
    manifest = import_radiographs(folder, subset="kermany")
    manifest.check()
    assert [len(items) for items in manifest.sections.values()] == [6, 6, 6]
    for section, seed in itertools.product(("validation", "test"), range(4)):
        sections = import_radiographs(folder, subset="kermany", seed=seed).sections
        found = [item["targets"]["pneumonia"] for item in sections[section]]
        assert sorted(found) == ["bacterial", "bacterial", "normal", "normal", "viral", "viral"]
    assert manifest.split["seed"] == 0
    assert manifest.patients("test") != import_radiographs(folder, subset="kermany", seed=1).patients("test")


def test_the_split_does_not_follow_the_order_of_rows(folder):
    before = import_radiographs(folder, subset="kermany").patients("test")
    head, *lines = (folder / "manifest.csv").read_text().splitlines()
    (folder / "manifest.csv").write_text("\n".join([head, *reversed(lines)]))
    assert import_radiographs(folder, subset="kermany").patients("test") == before


def test_nih_has_one_binary_task(folder):
    manifest = import_radiographs(folder, subset="nih")
    assert manifest.targets == {"No Finding": ["absent", "present"]}
    assert manifest.sections["training"][0]["targets"] == {"No Finding": "present"}
    assert manifest.sections["validation"][0]["targets"] == {"No Finding": "absent"}
    assert manifest.sections["training"][0]["columns"] == {"view": "PA", "sex": "F", "age": 54}


def test_licences_stand_by_image_and_texts_nowhere(folder):
    manifest = import_radiographs(folder, subset="covid")
    first = manifest.sections["training"][0]
    assert first["columns"]["licence"] == "CC BY-NC-SA 4.0"
    assert first["columns"]["text_kind"] == "clinical note"
    assert "per image" in manifest.licence
    assert "secret" not in str(manifest)
    assert manifest.targets == {}


def test_subsets_are_never_mixed(folder):
    with pytest.raises(ValueError, match="subset must be one of covid, kermany, nih; found 'all'"):
        import_radiographs(folder, subset="all")


def test_other_words_are_refused(folder):
    text = (folder / "manifest.csv").read_text()
    (folder / "manifest.csv").write_text(text.replace("Pneumonia|Viral", "Viral"))
    with pytest.raises(ValueError, match=r"a label of kermany .* found 'Viral'"):
        import_radiographs(folder, subset="kermany")
    (folder / "manifest.csv").write_text(text.replace(",val,", ",test,"))
    with pytest.raises(ValueError, match="'split' must be train or val"):
        import_radiographs(folder, subset="nih")


def test_the_result_passes_verify(folder, errors_of):
    assert errors_of(import_radiographs(folder, subset="covid")) == []
