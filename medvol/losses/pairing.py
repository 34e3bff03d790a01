"""Which views of all processes belong together, and which are of other patients."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from medvol.distributed import gather, rank

__all__ = ["Pairing", "pair_views"]


class Pairing(NamedTuple):
    """The views of this process against those of all processes.

    Attributes:
        own: ``(M, F)`` embeddings of this process, M = B * V.
        all: ``(W * M, F)`` embeddings of all processes, with gradient.
        positive: ``(M, W * M)`` boolean: another view of the same image.
        negative: ``(M, W * M)`` boolean: a view of another patient.

    Example:
        >>> pair_views(torch.rand(2, 2, 3)).positive.int().tolist()[0]
        [0, 1, 0, 0]
    """

    own: Tensor
    all: Tensor
    positive: Tensor
    negative: Tensor


def pair_views(embeddings: Tensor, patients: Tensor | None = None, normalize: bool = False) -> Pairing:
    """Join the views of all processes and say which belong together.

    Args:
        embeddings: ``(B, V, F)``.
        patients: ``(B,)`` whole numbers; None if every image is a patient of its own.
        normalize: give embeddings the length 1.

    Returns:
        The pairing, embeddings in single precision at least.

    Raises:
        ValueError: if embeddings and patients do not fit each other, there is one view only, or there is a single
            patient in the batch of all processes.

    Example:
        >>> pair_views(torch.rand(3, 2, 4), torch.tensor([7, 8, 7])).negative.int().tolist()[0]
        [0, 0, 1, 1, 0, 0]
    """
    _check(embeddings, patients)
    count, views, device = len(embeddings), embeddings.shape[1], embeddings.device
    images = rank() * count + torch.arange(count, device=device)
    patients = images if patients is None else patients.to(device).flatten()
    everyone = gather(patients)
    if bool((everyone == everyone[0]).all()):
        raise ValueError(
            f"a batch must hold images of two patients or more, for views to tell apart; found {len(everyone)} images "
            'of one; raise batch_size, and give stream_loader apart="patient", which keeps a patient\'s images apart'
        )
    own = embeddings.to(torch.promote_types(embeddings.dtype, torch.float32)).flatten(0, 1)
    own = functional.normalize(own, dim=-1) if normalize else own
    image, all_images = images.repeat_interleave(views), gather(images).repeat_interleave(views)
    patient, all_patients = patients.repeat_interleave(views), everyone.repeat_interleave(views)
    itself = (
        torch.arange(len(all_images), device=device)
        == (rank() * len(own) + torch.arange(len(own), device=device))[:, None]
    )
    return Pairing(own, gather(own), (image[:, None] == all_images) & ~itself, patient[:, None] != all_patients)


def _check(embeddings: Tensor, patients: Tensor | None) -> None:
    if embeddings.ndim != 3 or 0 in embeddings.shape:
        raise ValueError(
            f"embeddings must be (B, V, F), V views of B images; found the shape {tuple(embeddings.shape)}; give the "
            "output of medvol.networks.Projector as it is"
        )
    if embeddings.shape[1] < 2:
        raise ValueError(
            f"there must be two views of an image or more; found {embeddings.shape[1]}; set views to 2 in RandViewsd"
        )
    if patients is None:
        return
    if patients.is_floating_point() or patients.is_complex() or patients.numel() != len(embeddings):
        raise ValueError(
            f"label must be one whole number, the patient, for each of the {len(embeddings)} images; found "
            f"{patients.dtype} of the shape {tuple(patients.shape)}; give the batch's 'patient', or nothing if every "
            "image is a patient of its own"
        )
