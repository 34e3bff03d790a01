"""One optimizer step: what happens to the gradients from the backward pass to the new weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import Optimizer

from medvol import distributed

if TYPE_CHECKING:
    from medvol.engines.schedules import FrozenWarmup

MAX_SKIPS = 50
"""Consecutive steps that a scaler may refuse; its scale has then fallen from 65536 to 6e-11."""


class OptimizerStep:
    """Unscales, drops frozen gradients, clips (``prepare``), then moves the weights (``make``).

    Args:
        optimizer: moves the weights.
        loss_function: the gradients of its parameters, if any, are averaged over processes (the network's are, by DDP).
        scaler: of the loss, in fp16 only.
        clip_norm: upper bound of the Euclidean norm of all gradients together.
        freeze: what is frozen at first.

    Raises:
        ValueError: when ``clip_norm`` is not positive.

    Example:
        >>> weight = torch.zeros(1, requires_grad=True)
        >>> weight.grad = torch.tensor([4.0])
        >>> step = OptimizerStep(torch.optim.SGD([weight], lr=1.0), clip_norm=1.0)
        >>> step.prepare(0), step.norm
        (True, 4.0)
        >>> step.make(); round(weight.item(), 3)
        -1.0
    """

    def __init__(
        self,
        optimizer: Optimizer,
        loss_function: Callable[..., torch.Tensor] | None = None,
        scaler: torch.amp.GradScaler | None = None,
        clip_norm: float | None = None,
        freeze: FrozenWarmup | None = None,
    ) -> None:
        if clip_norm is not None and not clip_norm > 0:
            raise ValueError(f"expected clip_norm > 0, found {clip_norm}; null does not clip")
        self.optimizer = optimizer
        self.loss_parameters = list(loss_function.parameters()) if isinstance(loss_function, nn.Module) else []
        self.scaler = scaler
        self.clip_norm = clip_norm
        self.freeze = freeze
        self.norm = 0.0
        self._skips = 0

    def prepare(self, step: int) -> bool:
        """Make the gradients final; ``False`` when the scaler refuses this step.

        Args:
            step: optimizer steps finished so far.

        Raises:
            FloatingPointError: when the gradients are not finite without a scaler, or with one for too long.
        """
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        self._average_loss_gradients()
        self.norm = self._total_norm()
        if not math.isfinite(self.norm):
            self._skip(step)
            return False
        self._skips = 0
        if self.freeze is not None and self.freeze.active(step):
            self.freeze.drop_gradients()
            self.norm = self._total_norm()
        if self.clip_norm is not None:
            clip_grads_with_norm_(self._parameters(), self.clip_norm, torch.tensor(self.norm, dtype=torch.float64))
        return True

    def make(self) -> None:
        """Move the weights."""
        if self.scaler is None:
            self.optimizer.step()
        else:
            self.scaler.step(self.optimizer)
            self.scaler.update()

    def _parameters(self) -> list[torch.Tensor]:
        return [p for group in self.optimizer.param_groups for p in group["params"] if p.grad is not None]

    def _total_norm(self) -> float:
        return float(get_total_norm([p.grad for p in self._parameters()]))

    def _average_loss_gradients(self) -> None:
        world = distributed.world_size()
        if world > 1:
            for parameter in self.loss_parameters:
                if parameter.grad is not None:
                    parameter.grad = distributed.all_sum(parameter.grad) / world

    def _skip(self, step: int) -> None:
        self._skips += 1
        if self.scaler is None or self._skips > MAX_SKIPS:
            rate = self.optimizer.param_groups[0]["lr"]
            times = "" if self.scaler is None else f" {self._skips} times in a row"
            raise FloatingPointError(
                f"expected finite gradients, found a norm of {self.norm} in the step after step {step}{times} "
                f"(learning rate {rate:g}); look for roots or logarithms of 0 in the loss, or use precision 'fp32'"
            )
        self.scaler.update()


def distribute(network: nn.Module, device: torch.device) -> nn.Module:
    """Wrap a network so that its gradients are averaged over processes; in a single process, return it as it is."""
    if distributed.world_size() == 1:
        return network
    # Queues and teachers are equal on all ranks by construction; a broadcast would only hide it when they are not.
    device_ids = [device.index] if device.type == "cuda" and device.index is not None else None
    return DistributedDataParallel(network, device_ids=device_ids, broadcast_buffers=False)
