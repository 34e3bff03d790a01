"""Classification of ordered sets of patches: relative location, jigsaw, rotation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .patchwise import PatchEncoder

__all__ = ["SetClassifier"]


class SetClassifier(nn.Module):
    """Encode every patch alone, put the embeddings of each set one after another, and classify the sets.

    The network of relative location (a set is the central patch and a query), of jigsaw (all patches, in shuffled
    order) and of rotation (one view): Taleb et al. 2020, https://arxiv.org/abs/2006.03829, sections 3.2 to 3.4 and
    appendix A, one hidden layer with ReLU that is removed afterwards. Patches meet in the head only, so that an encoder
    cannot compare their edges. Together with :class:`medvol.losses.MaskedCrossEntropyLoss`.

    The last layer starts at zero: the first loss is exactly the logarithm of the number of classes.

    Args:
        encoder: the product; see :class:`~medvol.networks.patchwise.PatchEncoder`.
        num_classes: K, classes of a set; with ``per_place`` classes of each patch in it.
        sets: ``(S, L)`` patch indices, the same in every sample, such as :func:`medvol.transforms.center_pairs`; None
            takes what ``forward`` gets.
        set_size: L, patches of a set; None takes it from ``sets``, or 1.
        per_place: classify each place of a set instead of the set.
        embedding: features F of a patch.
        hidden: features of the head's hidden layer.
        allow_batch_norm: accept an encoder that mixes patches. Only for showing the leak.

    Raises:
        ValueError: if there are fewer than two classes, ``sets`` and ``set_size`` disagree, or the encoder holds a
            batch normalization; in ``forward`` if there are too few patches, or sets of another size.

    Example:
        >>> from monai.networks.nets import UNet
        >>> from medvol.networks import Encoder
        >>> norm = ("group", {"num_groups": 1})
        >>> net = UNet(2, in_channels=1, out_channels=1, channels=(4, 8), strides=(2,), norm=norm)
        >>> pairs = SetClassifier(Encoder(net), num_classes=2, sets=[[1, 0], [1, 2]])
        >>> pairs(torch.rand(4, 3, 1, 8, 8)).shape
        torch.Size([8, 2])
    """

    def __init__(
        self,
        encoder: nn.Module,
        num_classes: int,
        sets: Sequence[Sequence[int]] | Tensor | None = None,
        set_size: int | None = None,
        per_place: bool = False,
        embedding: int = 64,
        hidden: int = 256,
        allow_batch_norm: bool = False,
    ) -> None:
        super().__init__()
        if num_classes < 2:
            raise ValueError(f"expected at least 2 classes, found {num_classes}; one class has nothing to tell apart")
        fixed = None if sets is None else torch.as_tensor(sets, dtype=torch.long)
        if fixed is not None and (fixed.ndim != 2 or (set_size or fixed.shape[1]) != fixed.shape[1]):
            raise ValueError(
                f"expected sets (S, L) with L = set_size, found {tuple(fixed.shape)} and {set_size}; leave set_size out"
            )
        self.set_size = set_size or (1 if fixed is None else fixed.shape[1])
        self.num_classes, self.per_place = num_classes, per_place
        self.needed = 1 if fixed is None else int(fixed.max()) + 1  # patches that a sample must have
        self.register_buffer("sets", fixed, persistent=False)
        self.patches = PatchEncoder(encoder, embedding, allow_batch_norm)
        outputs = num_classes * self.set_size if per_place else num_classes
        self.head = nn.Sequential(nn.Linear(self.set_size * embedding, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
        nn.init.zeros_(self.head[-1].weight)
        nn.init.zeros_(self.head[-1].bias)

    def forward(self, image: Tensor, order: Tensor | None = None) -> Tensor:
        """Return the scores of the classes.

        Args:
            image: patches ``(B, P, C, *patch)``.
            order: sets of each sample ``(B, S, L)``, patch indices; None takes the ``sets`` of the class, or, without
                them, the patches as they come, L at a time.

        Returns:
            ``(B * S, K)``, sample for sample and set for set; with ``per_place`` ``(B * S * L, K)``.
        """
        embeddings = self.patches(image)  # (B, P, F)
        sets = self._sets(embeddings, order)
        chosen = embeddings.gather(1, sets.flatten(1)[..., None].expand(-1, -1, embeddings.shape[2]))
        logits = self.head(chosen.reshape(-1, self.set_size * embeddings.shape[2]))
        return logits.reshape(-1, self.num_classes)

    def _sets(self, embeddings: Tensor, order: Tensor | None) -> Tensor:
        """Return patch indices ``(B, S, L)``."""
        batch, count = embeddings.shape[:2]
        given = order
        if order is None and self.sets is not None:
            order = self.sets.expand(batch, -1, -1)
        elif order is None:
            if count % self.set_size:
                raise ValueError(
                    f"expected a multiple of {self.set_size} patches, the size of a set, found {count}; use one grid "
                    "in the transforms and the network"
                )
            order = torch.arange(count, device=embeddings.device).reshape(-1, self.set_size).expand(batch, -1, -1)
        if order.ndim != 3 or order.shape[0] != batch or order.shape[2] != self.set_size:
            raise ValueError(
                f"expected sets ({batch}, S, {self.set_size}), found {tuple(order.shape)}; use one grid in the "
                "transforms and the network"
            )
        # Sets that are fixed are known to the constructor; looking into others would hold up a GPU at every step.
        if order.shape[2] > count or (given is None and self.needed > count):
            raise ValueError(
                f"expected at least {max(order.shape[2], self.needed)} patches, found {count}; use one grid in the "
                "transforms and the network"
            )
        return order.to(embeddings.device)
