"""The channel map: names to shares, and what it refuses."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medvol.networks import ChannelMap
from medvol.networks.channels import read_adapt

NAMES = ("t1", "t2", "flair")


def test_repeated_source_names_are_summed():
    matrix = ChannelMap(("a", "a", "b"), ("b", "a")).matrix(torch.float64)
    assert matrix.tolist() == [[0, 0, 1], [1, 1, 0]]


@settings(max_examples=30, deadline=None)
@given(
    source=st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True),
    target=st.lists(st.sampled_from(NAMES), min_size=1, max_size=5),
    spatial=st.sampled_from([(3,), (3, 1), (1, 3, 3)]),
)
def test_the_map_equals_a_loop_and_keeps_the_response_of_known_names(source, target, spatial):
    weight = torch.randn(4, len(source), *spatial, dtype=torch.float64)
    current = torch.randn(4, len(target), *spatial, dtype=torch.float64)
    for missing in ("mean", "random"):
        mapped = ChannelMap(tuple(source), tuple(target), missing).apply(weight, current)
        for t, name in enumerate(target):
            if name in source:
                expected = weight[:, source.index(name)] / target.count(name)
            else:
                expected = weight.mean(1) / target.count(name) if missing == "mean" else current[:, t]
            assert torch.allclose(mapped[:, t], expected)
        for name in set(target) & set(source):  # a repeated input weighs as much as a single one
            total = sum(mapped[:, t] for t, other in enumerate(target) if other == name)
            assert torch.allclose(total, weight[:, source.index(name)])


def test_copies_are_exact():
    weight = torch.randn(3, 2, 3, 3)
    mapped = ChannelMap(("a", "b"), ("b", "a")).apply(weight, weight)
    assert torch.equal(mapped, weight.flip(1))
    assert mapped.dtype == torch.float32


def test_it_reads_as_a_sentence():
    assert str(ChannelMap(("a", "b"), ("b", "c", "b"))) == "b <- b / 2, c <- mean(a, b), b <- b / 2"
    assert str(ChannelMap(("a",), ("c",), "random")) == "c <- initial weights"


def test_what_it_refuses():
    with pytest.raises(ValueError, match="found 'zero'"):
        ChannelMap(("a",), ("a",), "zero")
    with pytest.raises(ValueError, match="the file has 'T1', found 't1'; write 'T1'"):
        ChannelMap(("T1",), ("t1",))
    with pytest.raises(ValueError, match=r"\['a'\], found \['b'\]; use these names"):
        ChannelMap(("a",), ("a", "b"), "error")


def test_the_argument_is_a_list_of_names_or_a_dict():
    assert read_adapt(["a", "b"]) == (("a", "b"), "mean")
    assert read_adapt({"modalities": ("a",), "missing": "random"}) == (("a",), "random")
    for wrong in ("t1", [], [1], 3, {"modalities": "t1"}):
        with pytest.raises(ValueError, match="list of modality names"):
            read_adapt(wrong)
    with pytest.raises(ValueError, match=r"found \['missing', 'names'\]"):
        read_adapt({"names": ["a"], "missing": "mean"})
