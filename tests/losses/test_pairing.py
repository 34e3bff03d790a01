import pytest
import torch
from processes import in_processes

from medvol.data import StreamDataset, stream_loader
from medvol.losses import pairing
from medvol.losses.pairing import pair_views
from medvol.transforms.views import RandViewsd


def test_every_pair_of_views_is_one_of_four_kinds():
    patients = torch.tensor([3, 5, 3, 9])
    found = pair_views(torch.rand(4, 3, 2), patients)
    for i in range(12):
        for j in range(12):
            same_image, same_patient = i // 3 == j // 3, patients[i // 3] == patients[j // 3]
            assert found.positive[i, j] == (same_image and i != j)
            assert found.negative[i, j] == (not same_patient)


def test_without_patients_every_image_is_its_own():
    plain, numbered = pair_views(torch.rand(4, 2, 2)), pair_views(torch.rand(4, 2, 2), torch.arange(4))
    assert torch.equal(plain.negative, numbered.negative)


def test_other_processes_follow_in_rank_order(monkeypatch):
    embeddings, patients = torch.rand(6, 2, 3), torch.tensor([1, 2, 2, 7, 1, 5])
    for names in (patients, None):
        whole = pair_views(embeddings, names)

        def part(rows, names=names):
            return pair_views(embeddings[rows], None if names is None else names[rows])

        for process, found in enumerate(
            in_processes(monkeypatch, [pairing], [lambda k=k: part(slice(2 * k, 2 * k + 2)) for k in range(3)])
        ):
            rows = slice(4 * process, 4 * process + 4)
            assert torch.equal(found.positive, whole.positive[rows])
            assert torch.equal(found.negative, whole.negative[rows])
            assert torch.equal(found.own, whole.own[rows])
            assert torch.equal(found.all, whole.all)


def test_embeddings_keep_their_length_unless_asked():
    embeddings = torch.rand(2, 2, 3) * 50
    for found in (pair_views(embeddings), pair_views(embeddings, normalize=False)):
        assert torch.equal(found.own, embeddings.flatten(0, 1))
        assert torch.equal(found.all, found.own)


def test_all_is_where_the_embeddings_are():
    """Not on PyTorch's default device."""
    with torch.device("meta"):
        found = pair_views(torch.rand(2, 2, 3, device="cpu"))
    assert found.positive.tolist() == pair_views(torch.rand(2, 2, 3)).positive.tolist()


def test_single_precision_at_least_and_unit_length():
    found = pair_views(torch.rand(2, 2, 3).bfloat16() * 50, normalize=True)
    assert found.own.dtype == torch.float32
    torch.testing.assert_close(found.own.norm(dim=1), torch.ones(4))
    assert pair_views(torch.rand(2, 2, 3).double()).own.dtype == torch.float64


def test_a_single_patient_is_refused_with_the_remedy():
    for label in (torch.tensor([4, 4]), torch.tensor([[4], [4]])):
        with pytest.raises(ValueError, match=r"two patients or more.*found 2 images of one; raise batch_size.*apart"):
            pair_views(torch.rand(2, 2, 3), label)
    with pytest.raises(ValueError, match="found 1 images of one"):  # card, test 5: a batch of one image
        pair_views(torch.rand(1, 2, 3))


def test_every_batch_of_a_stream_has_both_kinds_of_pairs(tmp_path):
    """Acceptance test 5, with batches of two."""
    rows = [{"image": torch.rand(1, 9, 9), "patient": patient} for patient in (4, 4, 5, 6, 6, 6)]
    data = StreamDataset(rows, RandViewsd("image", 8), 0, tmp_path)
    stream = iter(stream_loader(data, 2, seed=0, apart="patient"))
    for _ in range(12):
        batch = next(stream)
        views, patients = batch["image"], batch["patient"]
        assert views.shape == (2, 2, 1, 8, 8)
        found = pair_views(views.flatten(2), patients)
        assert found.positive.int().tolist() == [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]]
        assert found.negative.int().tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [1, 1, 0, 0], [1, 1, 0, 0]]
    with pytest.raises(ValueError, match="batch_size must be 2 or more"):
        stream_loader(data, 1, seed=0, apart="patient")


def test_errors():
    with pytest.raises(ValueError, match=r"\(B, V, F\), V views of B images; found the shape \(4, 3\)"):
        pair_views(torch.rand(4, 3))
    with pytest.raises(ValueError, match=r"found the shape \(4, 2, 0\)"):
        pair_views(torch.rand(4, 2, 0))
    with pytest.raises(ValueError, match="two views of an image or more; found 1; set views to 2"):
        pair_views(torch.rand(4, 1, 3))
    for label in (torch.rand(4), torch.arange(3), torch.arange(8)):
        with pytest.raises(ValueError, match="one whole number, the patient, for each of the 4 images; found torch"):
            pair_views(torch.rand(4, 2, 3), label)
