import pytest

from medvol.bundles.audit.countermeasures import components_of, measures_of, switched_off

CUT = {
    "_target_": "medvol.transforms.RandPatchGridd",
    "keys": ["image"],
    "mask_key": "mask",
    "crop_size": [8],
    "grid": 2,
}
SHADE = {"_target_": "medvol.transforms.RandPatchIntensityd", "keys": ["image"], "detrend": 2}
CHAIN = {"_target_": "monai.transforms.Compose", "transforms": [CUT, [SHADE]]}


def test_what_a_chain_has():
    assert measures_of(CHAIN) == ["intensity", "detrend", "mask"]
    assert measures_of([{**SHADE, "detrend": 0}, {**CUT, "mask_key": None}]) == ["intensity"]
    assert measures_of([{"_target_": SHADE["_target_"]}]) == ["intensity"]  # detrend is off by default
    assert measures_of([{**SHADE, "_disabled_": True}]) == []


def test_each_is_switched_off_alone_and_the_chain_stays():
    off = switched_off(CHAIN, ["detrend"])
    assert [one.get("detrend") for one in components_of(off)] == [None, 0]
    assert list(components_of(switched_off(CHAIN, ["intensity"]))) == [CUT]
    cut = next(components_of(switched_off(CHAIN, ["mask"])))
    assert set(cut) == {"_target_", "keys", "grid"}
    assert CHAIN["transforms"] == [CUT, [SHADE]]
    assert "crop_size" in CUT
    assert SHADE["detrend"] == 2


def test_several_at_once():
    assert measures_of(switched_off(CHAIN, ["intensity", "detrend", "mask"])) == []


def test_an_unknown_one_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match="intensity, detrend, mask; found 'masks'; did you mean 'mask'"):
        switched_off(CHAIN, ["masks"])
    with pytest.raises(ValueError, match="it has none; found 'mask'"):
        switched_off([], ["mask"])
