"""Schedules over optimizer steps: the learning rate, and what stays frozen at first."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def warmup_cosine(step: int, warmup_steps: int, total_steps: int, final: float = 0.0) -> float:
    """Return the factor of the learning rate for the optimizer step that follows ``step`` finished ones.

    Linear from ``1 / warmup_steps`` to 1, then a half cosine to ``final`` (Loshchilov and Hutter 2017,
    https://arxiv.org/abs/1608.03983, eq. 5 with one period), constant from ``total_steps`` on.

    Example:
        >>> [round(warmup_cosine(s, 2, 6), 3) for s in range(8)]
        [0.5, 1.0, 1.0, 0.854, 0.5, 0.146, 0.0, 0.0]
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))


class WarmupCosine(LambdaLR):
    """Linear warm-up and cosine decay, in optimizer steps, of every parameter group's own learning rate.

    Unlike MONAI's ``WarmupCosineSchedule`` the first step is not taken at rate 0, and the rate never rises again after
    ``total_steps``. Formula: :func:`warmup_cosine`.

    Args:
        optimizer: its groups' learning rates are the peaks.
        warmup_steps: optimizer steps of the warm-up; 0 for none. A training shorter than that ends within the warm-up.
        total_steps: optimizer steps of the whole training.
        final: the last learning rate as a fraction of the peak.

    Raises:
        ValueError: when the warm-up is negative, the training has no step, or ``final`` is outside of [0, 1].

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
        >>> WarmupCosine(optimizer, warmup_steps=4, total_steps=8).get_last_lr()
        [0.025]
    """

    def __init__(self, optimizer: Optimizer, warmup_steps: int, total_steps: int, final: float = 0.0) -> None:
        if warmup_steps < 0 or total_steps < 1:
            raise ValueError(
                f"expected warmup_steps >= 0 and total_steps >= 1, found {warmup_steps} and {total_steps}; "
                "give both in optimizer steps"
            )
        if not 0 <= final <= 1:
            raise ValueError(f"expected final in [0, 1], found {final}; it is a fraction of the peak learning rate")
        # A partial of a function, no lambda: it pickles, and has no state that a checkpoint would have to carry.
        factor = functools.partial(warmup_cosine, warmup_steps=warmup_steps, total_steps=total_steps, final=final)
        super().__init__(optimizer, factor)


def warmup_constant(step: int, warmup_steps: int) -> float:
    """Return the factor of the learning rate for the optimizer step that follows ``step`` finished ones.

    Linear from ``1 / warmup_steps`` to 1, then 1.

    Example:
        >>> [warmup_constant(s, 2) for s in range(4)]
        [0.5, 1.0, 1.0, 1.0]
    """
    return (step + 1) / warmup_steps if step < warmup_steps else 1.0


class Constant(LambdaLR):
    """Every parameter group's own learning rate, unchanged to the end, after a linear warm-up if one is asked for.

    Without a decay the last weights still move as much as the first: a training that is stopped, or made longer later,
    was the same up to there.

    Args:
        optimizer: its groups' learning rates are kept.
        warmup_steps: optimizer steps of the warm-up; 0 for none.

    Raises:
        ValueError: when the warm-up is negative.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
        >>> Constant(optimizer).get_last_lr()
        [0.1]
    """

    def __init__(self, optimizer: Optimizer, warmup_steps: int = 0) -> None:
        if warmup_steps < 0:
            raise ValueError(f"expected warmup_steps >= 0, found {warmup_steps}; give optimizer steps, 0 for none")
        super().__init__(optimizer, functools.partial(warmup_constant, warmup_steps=warmup_steps))


class FrozenWarmup:
    """Keeps modules exactly as they are during the first optimizer steps, for instance a pre-trained encoder.

    Freezing by ``requires_grad`` or a learning rate of 0 would not do: running statistics would still move, and so
    would weight decay and momentum move the weights. Here the modules stay in evaluation mode and their gradients are
    dropped, so the optimizer passes over them.

    Args:
        modules: one module or several; an empty list freezes nothing.
        steps: optimizer steps during which they stay frozen; 0 for none.

    Raises:
        ValueError: when ``steps`` is negative.
        TypeError: when something else than modules is given.

    Example:
        >>> freeze = FrozenWarmup([nn.Linear(1, 1)], steps=2)
        >>> [freeze.active(step) for step in range(3)]
        [True, True, False]
    """

    def __init__(self, modules: nn.Module | Iterable[nn.Module], steps: int) -> None:
        self.modules = [modules] if isinstance(modules, nn.Module) else list(modules)
        for module in self.modules:
            if not isinstance(module, nn.Module):
                raise TypeError(
                    f"expected modules to freeze, found {type(module).__name__}; give nn.Modules, not names"
                )
        if steps < 0:
            raise ValueError(f"expected steps >= 0, found {steps}; 0 freezes nothing")
        self.steps = steps

    def active(self, step: int) -> bool:
        """Whether the modules are frozen in the step that follows ``step`` finished ones."""
        return step < self.steps and bool(self.modules)

    def set_modes(self) -> None:
        """Put the frozen modules into evaluation mode (after ``network.train()``)."""
        for module in self.modules:
            module.eval()

    def parameters(self) -> Iterator[nn.Parameter]:
        """Yield the frozen parameters."""
        for module in self.modules:
            yield from module.parameters()

    def drop_gradients(self) -> None:
        """Remove the gradients of the frozen parameters, so that no optimizer touches them."""
        for parameter in self.parameters():
            parameter.grad = None
