from __future__ import annotations

import pytest
from monai.bundle import ConfigParser

from medvol.bundles.plain import fixed_transforms, located, plain, resolve_weights

CONFIG = {
    "imports": ["$import math"],
    "widths": [4, 8],
    "inner": {"_target_": "torch.nn.Conv2d", "out_channels": "$len(@widths)"},
    "net": {"_target_": "x.Encoder", "network": "@inner", "names": {"a": "@widths"}, "root": "$math.prod(@widths)"},
    "loop": "@loop",
    "chain": {
        "_target_": "monai.transforms.Compose",
        "transforms": [
            {"_target_": "monai.transforms.Flipd", "keys": ["image"], "spatial_axis": "$len(@widths)"},
            {"_target_": "Compose", "transforms": [{"_target_": "monai.transforms.Spacingd", "pixdim": "@widths"}]},
            {"_target_": "monai.transforms.Zoomd", "_disabled_": True},
            {"_target_": "monai.transforms.RandFlipd", "keys": ["image"]},
            {"_target_": "monai.transforms.EnsureTyped", "keys": ["image"]},
        ],
    },
    "data": {"transform": "@chain"},
}


def test_references_are_followed_and_expressions_evaluated() -> None:
    assert plain(ConfigParser(CONFIG), "net") == {
        "_target_": "x.Encoder",
        "network": {"_target_": "torch.nn.Conv2d", "out_channels": 2},
        "names": {"a": [4, 8]},
        "root": 32,
    }


@pytest.mark.parametrize(
    "text", ["$[torch.zeros(1)]", "$1 / 0", "$float('nan')", "@nowhere", "plain text", "$object()"]
)
def test_what_has_no_plain_value_stays_as_it_is_written(text: str) -> None:
    assert plain(ConfigParser({"value": text}), "value") == text


def test_a_loop_of_references_ends_and_a_missing_part_is_none() -> None:
    assert plain(ConfigParser(CONFIG), "loop") == "@loop"
    assert plain(ConfigParser(CONFIG), "train::dataset") is None
    assert fixed_transforms(ConfigParser(CONFIG)) is None


def test_the_fixed_transforms_are_those_before_the_first_random_one() -> None:
    assert fixed_transforms(ConfigParser(CONFIG), "data::transform") == [
        {"_target_": "monai.transforms.Flipd", "keys": ["image"], "spatial_axis": 2},
        {"_target_": "monai.transforms.Spacingd", "pixdim": [4, 8]},
    ]


def test_what_is_no_transform_may_do_anything_and_ends_the_fixed_part() -> None:
    flip = {"_target_": "monai.transforms.Flip"}
    for other in ({"_target_": "builtins.print"}, {"_target_": "no.such.Thing"}, "$print", {"keys": []}):
        assert fixed_transforms(ConfigParser({"chain": [flip, other, flip]}), "chain") == [flip]


def test_located_knows_names_of_monai_and_full_names() -> None:
    from monai.transforms import Compose

    assert located({"_target_": "Compose"}) is located({"_target_": "monai.transforms.Compose"}) is Compose
    assert located({"_target_": 3}) is located("text") is None


def test_only_expressions_for_weights_are_resolved() -> None:
    parser = ConfigParser({"root": "r", "weights": "$@root + '/model.pt'", "pretrained": "cpc3d@latest", "a": "$1 + 1"})
    resolve_weights(parser)
    assert parser.config == {"root": "r", "weights": "r/model.pt", "pretrained": "cpc3d@latest", "a": "$1 + 1"}
    parser = ConfigParser({"weights": None})
    resolve_weights(parser)
    assert parser.config == {"weights": None}
