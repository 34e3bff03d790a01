import pytest
import torch
from map_transforms import check_missing_keys
from monai.data import MetaTensor
from monai.transforms import Compose

from medvol.transforms.each_view import RandEachViewd, views_of


class Marked(RandEachViewd):
    """Writes into each view which one it is, and notes what it was asked to draw."""

    def __init__(self, keys="image", allow_missing_keys=False):
        super().__init__(keys, allow_missing_keys=allow_missing_keys)
        self.asked, self.drawn = [], None

    def randomize(self, views, channels):
        self.asked.append((views, channels))
        self.drawn = self.R.uniform(size=views)

    def change(self, view, number):
        return view + float(self.drawn[number])


def test_every_image_draws_for_itself_and_every_view_gets_its_own():
    transform = Marked(["image", "other"]).set_random_state(0)
    sample = {"image": torch.zeros(3, 2, 4, 4), "other": torch.zeros(5, 1, 4), "name": "kept"}
    found = transform(sample)
    assert transform.asked == [(3, 2), (5, 1)]
    assert found["name"] == "kept"
    assert found["other"][:, 0, 0].tolist() == pytest.approx(transform.drawn.tolist())
    assert len({*found["image"].flatten(1).mean(1).tolist(), *found["other"].flatten(1).mean(1).tolist()}) == 8
    assert found["image"].flatten(1).std(1).max() < 1e-6, "one draw for a view, all of its channels"


def test_types_and_input():
    image = torch.randint(0, 9, (2, 1, 6, 6))
    before = image.clone()
    assert Marked()({"image": image})["image"].dtype == torch.float32
    assert torch.equal(image, before)
    assert Marked()({"image": image.double()})["image"].dtype == torch.float64
    assert type(Marked()({"image": MetaTensor(image.float())})["image"]) is torch.Tensor
    data = {"image": image}
    Marked()(data)
    assert data["image"] is image


def test_it_is_random_for_compose():
    one, other = (Compose([Marked()]).set_random_state(3)({"image": torch.zeros(2, 1, 3)}) for _ in range(2))
    assert torch.equal(one["image"], other["image"])


def test_missing_keys_and_defaults():
    check_missing_keys(Marked, {"image": torch.rand(2, 1, 5, 5)})
    assert (Marked().keys, Marked().share, Marked().allow_missing_keys) == (("image",), 0.5, False)


class Plain(Marked):
    """With the arguments of the base class."""

    def __init__(self, *given):
        RandEachViewd.__init__(self, *given)


def test_the_defaults_and_the_ends_of_a_probability():
    plain = Plain("image")
    assert (plain.keys, plain.share, plain.allow_missing_keys) == (("image",), 0.5, False)
    assert [Plain("image", prob).share for prob in (0, 1)] == [0.0, 1.0]


@pytest.mark.parametrize("prob", [-0.1, 1.5, float("nan")])
def test_a_probability_is_one(prob):
    with pytest.raises(ValueError, match=rf"prob must be between 0 and 1; found {prob}; it is a probability"):
        Plain("image", prob)


def test_what_is_not_views_is_refused():
    with pytest.raises(
        ValueError, match=r"views must be \(V, C, \*spatial\) under 'image'; found the shape \(5, 5\); cut"
    ):
        Marked()({"image": torch.rand(5, 5)})
    with pytest.raises(TypeError, match="abstract"):
        RandEachViewd("image")


def test_views_of_a_sample_are_plain_and_floating():
    image = torch.ones(2, 1, 4, 4)
    assert views_of({"a": image}, "a").data_ptr() == image.data_ptr(), "no copy where none is needed"
    assert type(views_of({"a": MetaTensor(image)}, "a")) is torch.Tensor
    assert views_of({"a": image.half()}, "a").dtype == torch.float16
    assert views_of({"a": image.int().numpy()}, "a").dtype == torch.float32
    assert views_of({"a": image[0]}, "a").ndim == 3, "a view of one axis"
    with pytest.raises(ValueError, match=r"under 'a'; found the shape \(4, 4\); cut them with RandViewsd"):
        views_of({"a": image[0, 0]}, "a")
