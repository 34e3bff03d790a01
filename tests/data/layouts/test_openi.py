import pytest

from medvol.data.layouts.openi import import_openi

REPORT = """<?xml version="1.0" encoding="utf-8"?>
<eCitation><uId id="{uid}"/>
<MedlineCitation><Article><Abstract>
<AbstractText Label="FINDINGS">Heart size normal.</AbstractText></Abstract></Article>
</MedlineCitation>
<MeSH>{mesh}</MeSH>
{images}
</eCitation>"""


def write_report(folder, number, headings, images):
    mesh = "".join(f"<major>{heading}</major>" for heading in headings) + "<automatic>Heart</automatic>"
    parents = "".join(f'<parentImage id="{image}"><figureId>F1</figureId></parentImage>' for image in images)
    text = REPORT.format(uid=f"CXR{number}", mesh=mesh, images=parents)
    (folder / "ecgen-radiology").mkdir(exist_ok=True)
    (folder / f"ecgen-radiology/{number}.xml").write_text(text)


@pytest.fixture
def folder(tmp_path, write_image):
    write_report(tmp_path, 1, ["normal"], ["CXR1_1_IM-0001-3001", "CXR1_1_IM-0001-4001"])
    write_report(tmp_path, 10, ["No Indexing"], ["CXR10_IM-0002-1001"])
    write_report(tmp_path, 2, ["Cardiomegaly/mild", "Opacity/lung"], ["CXR2_IM-0652-1001"])
    write_report(tmp_path, 3, [], [])
    for name in ("CXR1_1_IM-0001-3001", "CXR1_1_IM-0001-4001", "CXR2_IM-0652-1001", "CXR10_IM-0002-1001"):
        write_image(tmp_path / f"NLMCXR_png/{name}.png")
    return tmp_path


def test_reports_name_their_images(folder):
    manifest = import_openi(folder)
    manifest.check()
    items = manifest.sections["training"]
    assert [item["patient"] for item in items] == ["CXR1", "CXR1", "CXR2", "CXR10"]
    assert items[0]["columns"] == {"study": "CXR1", "report": "ecgen-radiology/1.xml", "mesh": "normal"}
    assert items[2]["columns"]["mesh"] == "Cardiomegaly/mild; Opacity/lung"
    assert items[0]["targets"] == {"abnormality": "normal"}
    assert items[2]["targets"] == {"abnormality": "abnormal"}
    assert "targets" not in items[3]  # no indexing


def test_no_text_of_a_report_is_stored(folder):
    assert "Heart" not in str(import_openi(folder).sections)


def test_images_may_lie_elsewhere(folder):
    (folder / "NLMCXR_png").rename(folder / "images")
    with pytest.raises(FileNotFoundError, match=r"images must be at NLMCXR_png/\*\.png"):
        import_openi(folder)
    import_openi(folder, images="images").check()


def test_refusals(folder, tmp_path):
    report = folder / "ecgen-radiology/2.xml"
    report.write_text("<eCitation><uId id=''/></eCitation>")
    with pytest.raises(ValueError, match="must have its number"):
        import_openi(folder)
    report.write_text("<eCitation>")
    with pytest.raises(ValueError, match=r"2\.xml is not"):
        import_openi(folder)
    with pytest.raises(FileNotFoundError, match=r"ecgen-radiology/\*\.xml"):
        import_openi(folder / "NLMCXR_png")


def test_the_result_passes_verify(folder, errors_of):
    assert errors_of(import_openi(folder)) == []
