from __future__ import annotations

import json
from pathlib import Path

import pytest

from medvol.bundles.checks.mask_rule import mask_rule
from medvol.bundles.checks.rules import BEFORE_RUN
from medvol.bundles.opening import open_bundle

VIT = json.loads(
    (Path(__file__).parents[3] / "bundles" / "mae3d" / "args_vit.json").read_text(encoding="utf-8"),
)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({**VIT, "mask_ratio": [0.6, 0.9]}, ["the range [0.6, 0.9]"]),
        (VIT, []),
        ({"mask_ratio": [0.6, 0.9]}, []),
    ],
)
def test_a_transformer_of_visible_tokens_takes_one_share(given: dict, found: list[str]) -> None:
    assert [problem.found for problem in mask_rule(open_bundle("mae3d", overrides=given))] == found
    assert mask_rule in BEFORE_RUN


def test_other_bundles_are_none_of_its_business() -> None:
    assert list(mask_rule(open_bundle("unet_brats"))) == []
