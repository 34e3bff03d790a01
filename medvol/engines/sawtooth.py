"""The two-stage schedule of fine-tuning: the decoder warms up and cools down alone, then everything does."""

from __future__ import annotations

import functools
import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

__all__ = ["Sawtooth", "sawtooth"]

_DECAYS = ("polynomial", "cosine")
_POWER = 0.9  # of nnU-Net's decay


def sawtooth(
    step: int,
    decoder_steps: int,
    warmup_steps: int,
    total_steps: int,
    final: float = 0.0,
    decay: str = "polynomial",
) -> float:
    """Return the factor of the learning rate for the optimizer step that follows ``step`` finished ones.

    See :class:`Sawtooth`; constant from ``total_steps`` on.

    Example:
        >>> [round(sawtooth(s, 4, 2, 9), 3) for s in range(10)]
        [0.5, 1.0, 1.0, 0.536, 0.5, 1.0, 1.0, 0.694, 0.372, 0.0]
    """
    if step < decoder_steps:
        return _tooth(step, decoder_steps // 2, decoder_steps, 0.0, decay)
    return _tooth(step - decoder_steps, warmup_steps, total_steps - decoder_steps, final, decay)


class Sawtooth(LambdaLR):
    """Two teeth of every parameter group's own learning rate, in optimizer steps: first the decoder's, then all's.

    The schedule "sawtooth" of OpenMind (Wald et al. 2024, https://arxiv.org/abs/2412.17041, and its appendix on
    fine-tuning; found best for convolutional networks). The first tooth rises linearly for half of ``decoder_steps``
    and falls to 0 in the other half, while the encoder is frozen. The second rises linearly during ``warmup_steps`` and
    falls until ``total_steps``, while everything trains. It falls as nnU-Net's: ``(1 - t) ** 0.9``, t from 0 to 1.

    This class knows rates only: freeze the encoder with :class:`medvol.engines.FrozenWarmup` for as many steps as
    ``decoder_steps``. Published are two times 50 of 1000 epochs, or 15 of 150: a tenth of a short training each. In the
    published code the second rise ends at ``warmup_steps / (decoder_steps + warmup_steps)`` of the peak, half of it,
    and jumps from there; here it reaches the peak. That code also begins the second tooth with a new optimizer; here
    the decoder keeps its moments.

    Args:
        optimizer: its groups' learning rates are the peaks of both teeth.
        decoder_steps: optimizer steps of the first tooth; 0 for none.
        warmup_steps: optimizer steps of the second rise; 0 for none.
        total_steps: optimizer steps of the whole training. A shorter one ends within a tooth.
        final: the last learning rate as a fraction of the peak.
        decay: "polynomial", or "cosine" as in :class:`medvol.engines.WarmupCosine`, so that two trainings differ by the
            first tooth only.

    Raises:
        ValueError: when a number of steps is negative, the training has no step, ``final`` is outside of [0, 1], or
            the decay is another one.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
        >>> Sawtooth(optimizer, decoder_steps=8, warmup_steps=4, total_steps=80).get_last_lr()
        [0.025]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        decoder_steps: int,
        warmup_steps: int,
        total_steps: int,
        final: float = 0.0,
        decay: str = "polynomial",
    ) -> None:
        if decoder_steps < 0 or warmup_steps < 0 or total_steps < 1:
            raise ValueError(
                "expected decoder_steps >= 0, warmup_steps >= 0 and total_steps >= 1, found "
                f"{decoder_steps}, {warmup_steps} and {total_steps}; give all in optimizer steps"
            )
        if not 0 <= final <= 1:
            raise ValueError(f"expected final in [0, 1], found {final}; it is a fraction of the peak learning rate")
        if decay not in _DECAYS:
            raise ValueError(f"expected decay to be one of {', '.join(_DECAYS)}, found {decay!r}; choose one of them")
        # A partial of a function, no lambda: it pickles, and has no state that a checkpoint would have to carry.
        steps = {"decoder_steps": decoder_steps, "warmup_steps": warmup_steps, "total_steps": total_steps}
        super().__init__(optimizer, functools.partial(sawtooth, **steps, final=final, decay=decay))


def _tooth(step: int, rise: int, length: int, final: float, decay: str) -> float:
    """Return the height of a tooth: linear from ``1 / rise`` to 1, then down to ``final`` at ``length``."""
    if step < rise:
        return (step + 1) / rise
    left = 1 - min(1.0, (step - rise) / max(1, length - rise))
    height = left**_POWER if decay == "polynomial" else 0.5 * (1 - math.cos(math.pi * left))
    return final + (1 - final) * height
