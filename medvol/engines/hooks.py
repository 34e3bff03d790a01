"""Calls the methods that networks and losses define for moments of the training: after gradients, steps, epochs."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from medvol.engines.clock import derive_seed

HOOKS = ("on_gradients_ready", "on_optimizer_step", "on_epoch")


class HookCaller:
    """Finds, once, every submodule that defines a hook, and calls them in the order of ``modules()``, network first.

    - ``on_gradients_ready(step)``: the gradients are final, the weights old; ``step`` optimizer steps are finished.
    - ``on_optimizer_step(step)``: the weights are new, and ``step`` counts this step, too (1 at the first call).
    - ``on_epoch(epoch)``: ``epoch`` epochs are finished.

    The first two come exactly once per counted step: not per micro-batch, not for a step that a scaler refused. Hooks
    run without gradient, and with torch's generators seeded from (seed, hook, argument): what they draw is the same on
    every rank, and the same again in a continued training.

    Args:
        network: the bare network.
        loss_function: searched, too, if it is a module.
        seed: of what the hooks draw.

    Example:
        >>> class Counter(nn.Module):
        ...     def on_epoch(self, epoch: int) -> None:
        ...         print("epoch", epoch)
        >>> HookCaller(nn.Sequential(Counter()), None, seed=0).call("on_epoch", 1)
        epoch 1
    """

    def __init__(self, network: nn.Module, loss_function: Any, seed: int) -> None:
        modules = dict.fromkeys(network.modules())  # a dict, so that a module in both places is called once
        if isinstance(loss_function, nn.Module):
            modules.update(dict.fromkeys(loss_function.modules()))
        self._calls = {hook: [getattr(m, hook) for m in modules if callable(getattr(m, hook, None))] for hook in HOOKS}
        self.seed = seed

    def call(self, hook: str, number: int) -> None:
        """Call one hook everywhere with the number of finished steps or epochs."""
        calls = self._calls[hook]
        if calls:
            torch.manual_seed(derive_seed(self.seed, 1 + HOOKS.index(hook), number, 0))
        with torch.no_grad():
            for function in calls:
                function(number)
