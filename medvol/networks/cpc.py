"""Contrastive predictive coding in a grid of patches."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from .context import MaskedContext, RecurrentContext
from .directions import PredictionGroup, first_steps, overlapping, prediction_groups
from .patchwise import PatchEncoder

__all__ = ["CPC"]

_CONTEXTS = {"masked": MaskedContext, "gru": RecurrentContext}


class CPC(nn.Module):
    """Predict the codes of patches from the patches on one side of them.

    Patches are encoded alone; a context summarizes those at and before a layer of the grid; one linear map ``W_l`` for
    each step ``l`` predicts the code ``l`` layers further (van den Oord et al. 2018, https://arxiv.org/abs/1807.03748,
    equation 3; in volumes Taleb et al. 2020, https://arxiv.org/abs/2006.03829, section 3.1 and equation 1). Together
    with :class:`medvol.losses.InfoNCELoss`.

    Differences from Taleb et al. and their code, each for a reason: canonical InfoNCE over all patches of the batch
    (equation 1 has the sum inside the exponential and the code scores one pair against one negative); steps start where
    no voxel is shared (equation 1 allows step 0, which lies in the context); both directions along every axis instead
    of one, with shared weights; a learned token instead of mirrored patches outside the grid; no batch normalization. A
    learned vector for each direction joins the codes that a context reads: the weights are shared, and on the first
    layer a corner's context would else be the same in three directions, so that no prediction could be right in all.

    The ``W_l`` start at zero, so predictions are exactly 0 and the first loss is exactly the mean logarithm of the
    number of candidates. For that reason predictions are not normalized: the direction of a zero vector is undefined.
    Codes are.

    Args:
        encoder: the product; maps ``(N, C, *patch)`` to its coarsest map, see
            :class:`~medvol.networks.patchwise.PatchEncoder`.
        grid: patches per axis, one number for each spatial axis of the encoder or one for all.
        patch_stride: voxels from patch to patch where patches overlap; None for cells, which never do.
        patch_size: voxels per axis; needed with ``patch_stride``, otherwise only checked.
        embedding: features F of a code.
        context: "masked" convolutions over the grid or "gru", the reference's.
        hidden: features of the context.
        depth: layers before its own that a context reads; None reads all.
        min_step: first step to predict, at least ``ceil(patch_size / patch_stride)``, the default.
        foreground_threshold: patches with a smaller foreground fraction are neither targets nor negatives.
        allow_batch_norm: accept an encoder that mixes patches. Only for showing the leak.

    Attributes:
        sources: patch index of the position that each prediction is made from, ``(m,)``, ``m = M / B``.
        targets: patch index of the position that each prediction is about, ``(m,)``.
        steps: layers between the two, ``(m,)``.

    Raises:
        ValueError: if a number of axes does not fit, context and target would share voxels, an axis has too few
            patches, or the encoder holds a batch normalization; in ``forward`` if patches do not fit the grid.

    Example:
        >>> import torch
        >>> from monai.networks.nets import UNet
        >>> from medvol.networks import Encoder
        >>> norm = ("group", {"num_groups": 1})
        >>> net = UNet(2, in_channels=1, out_channels=1, channels=(4, 8), strides=(2,), norm=norm)
        >>> cpc = CPC(Encoder(net), grid=3, embedding=6, hidden=8)
        >>> predictions, codes, positive, valid = cpc(torch.rand(2, 9, 1, 8, 8), torch.ones(2, 9))
        >>> predictions.shape, codes.shape, positive.shape, valid.shape
        (torch.Size([72, 6]), torch.Size([18, 6]), torch.Size([72]), torch.Size([72, 18]))
    """

    sources: Tensor
    targets: Tensor
    steps: Tensor
    candidates: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        grid: int | Sequence[int],
        patch_stride: int | Sequence[int] | None = None,
        patch_size: int | Sequence[int] | None = None,
        embedding: int = 128,
        context: str = "masked",
        hidden: int = 256,
        depth: int | None = None,
        min_step: int | Sequence[int] | None = None,
        foreground_threshold: float = 0.1,
        allow_batch_norm: bool = False,
    ) -> None:
        super().__init__()
        if context not in _CONTEXTS:
            raise ValueError(
                f"expected context to be one of {sorted(_CONTEXTS)}, found {context!r}; choose one of them"
            )
        if depth is not None and depth < 0:
            raise ValueError(f"expected depth of 0 or more layers, found {depth}; None reads all layers")
        if patch_stride is not None and patch_size is None:
            raise ValueError(
                f"expected patch_size beside patch_stride {patch_stride}, found None; overlap depends on both"
            )
        self.patches = PatchEncoder(encoder, embedding, allow_batch_norm)
        axes = self.patches.spatial_dims
        self.grid = _per_axis("grid", grid, axes)
        self.patch_size = None if patch_size is None else _per_axis("patch_size", patch_size, axes)
        stride = None if patch_stride is None else _per_axis("patch_stride", patch_stride, axes)
        self.foreground_threshold = foreground_threshold

        groups = prediction_groups(self.grid, first_steps(self.grid, self.patch_size, stride, min_step))
        self._register_plan(groups, overlapping(self.grid, self.patch_size, stride))
        reach = max(group.order.shape[1] - group.first_step for group in groups) - 1
        plane_axes = groups[0].order.ndim - 2
        self.context = _CONTEXTS[context](embedding, hidden, max(reach, 1) if depth is None else depth, plane_axes)
        self.direction = nn.Parameter(torch.randn(sum(len(group.order) for group in groups), embedding) * 0.02)
        self.predict = nn.ModuleDict({str(step): nn.Linear(hidden, embedding) for step in self.steps.unique().tolist()})
        self.background = nn.Parameter(torch.zeros(embedding))
        for linear in self.predict.values():
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)

    def _register_plan(self, groups: Sequence[PredictionGroup], overlap: Tensor) -> None:
        """Store what is predicted from what as buffers; they follow from the arguments and are not saved."""
        for index, group in enumerate(groups):
            self.register_buffer(f"order_{index}", group.order, persistent=False)
        self._first_steps = [group.first_step for group in groups]
        sources, targets, steps = (torch.cat(part) for part in zip(*(group.pairs() for group in groups), strict=True))
        self.register_buffer("sources", sources, persistent=False)
        self.register_buffer("targets", targets, persistent=False)
        self.register_buffer("steps", steps, persistent=False)
        apart = ~overlap[targets]
        apart[torch.arange(len(targets)), targets] = True  # the positive is a candidate
        self.register_buffer("candidates", apart, persistent=False)  # (m, P), within the volume

    def forward(self, image: Tensor, foreground: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Encode patches, predict, and say which code each prediction is about.

        Args:
            image: patches ``(B, P, C, *patch)`` in raster order.
            foreground: fraction of foreground voxels in each patch ``(B, P)``.

        Returns:
            Predictions ``(M, F)``, volume for volume; codes ``(N, F)`` of length 1, ``N = B * P``; the index of the
            right code ``(M,)``, -100 where it is background; and the candidates ``(M, N)``, boolean: the right code,
            and all codes that are no background and share no voxel with it. Codes of other volumes never do. ``M`` does
            not depend on the values.
        """
        self._check(image, foreground)
        tissue = foreground >= self.foreground_threshold
        embeddings = self.patches(image, tissue)
        # at least single precision: directions are compared, and autocast would round them
        codes = functional.normalize(embeddings.to(torch.promote_types(embeddings.dtype, torch.float32)), dim=-1)
        predictions = self._predictions(torch.where(tissue[..., None], codes, self.background))
        positive, valid = self._answers(foreground)
        return predictions.flatten(0, 1), codes.flatten(0, 1), positive, valid

    def _predictions(self, codes: Tensor) -> Tensor:
        """Return predictions ``(B, m, F)`` from codes ``(B, P, F)``."""
        batch = codes.shape[0]
        features = codes * codes.shape[-1] ** 0.5  # unit variance per feature, as the context's layers expect
        predictions, first = [], 0
        for index, first_step in enumerate(self._first_steps):
            order = self.get_buffer(f"order_{index}")  # (R, L, *plane)
            directions, layers, *plane = order.shape
            direction = self.direction[first : first + directions].reshape(directions, 1, *[1] * len(plane), -1)
            first += directions
            # layers that have no target after them need no context
            x = features[:, order[:, : layers - first_step]] + direction  # (B, R, L', *plane, F)
            context = self.context(x.flatten(0, 1)).unflatten(0, (batch, directions))
            for step in range(first_step, layers):
                predictions.append(self.predict[str(step)](context[:, :, : layers - step]).flatten(1, -2))
        return torch.cat(predictions, dim=1)

    def _answers(self, foreground: Tensor) -> tuple[Tensor, Tensor]:
        """Return the index of the right code ``(M,)`` and the candidates ``(M, N)``."""
        batch, count = foreground.shape
        tissue = foreground >= self.foreground_threshold  # (B, P)
        first = torch.arange(batch, device=tissue.device)[:, None] * count
        positive = torch.where(tissue[:, self.targets], self.targets + first, -100)  # (B, m)
        same = torch.eye(batch, dtype=torch.bool, device=tissue.device)[:, None, :, None]
        valid = (self.candidates[None, :, None, :] | ~same) & tissue[None, None]  # (B, m, B, P)
        return positive.flatten(), valid.flatten(2).flatten(0, 1)

    def _check(self, image: Tensor, foreground: Tensor) -> None:
        """Refuse patches that do not fit the grid; the number of axes is the patch encoder's to check."""
        count = math.prod(self.grid)
        if image.shape[1] != count or tuple(foreground.shape) != tuple(image.shape[:2]):
            raise ValueError(
                f"expected image (B, {count}, C, *patch) and foreground (B, {count}) for the grid {self.grid}, found "
                f"{tuple(image.shape)} and {tuple(foreground.shape)}; use one grid in RandPatchGridd and CPC"
            )
        size = tuple(image.shape[3:])
        size = size[:-1] if len(size) == 3 and len(self.grid) == 2 and size[-1] == 1 else size
        if self.patch_size is not None and size != self.patch_size:
            raise ValueError(
                f"expected patches of {self.patch_size} voxels, found {size}; use one patch_size in "
                "RandPatchGridd and CPC"
            )


def _per_axis(name: str, value: int | Sequence[int], axes: int) -> tuple[int, ...]:
    """Write one number or one per axis as one per axis; slices have a third axis of size one, which counts for two."""
    values = (value,) * axes if isinstance(value, int) else tuple(int(v) for v in value)
    values = values[:2] if axes == 2 and values[2:] == (1,) else values
    if len(values) != axes or min(values) < 1:
        raise ValueError(
            f"expected {name} as {axes} positive numbers, one for each spatial axis of the encoder, found "
            f"{list(values)}; correct it, or the encoder's spatial_dims"
        )
    return values
