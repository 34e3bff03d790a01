"""Checkpoints: one file that is never half written, and holds all that a continued training needs."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from medvol.writing import write_whole

if TYPE_CHECKING:
    from medvol.engines.trainer import Trainer

PARTS = ("network", "loss", "optimizer", "lr_scheduler", "scaler", "clock", "grouping")


def save_checkpoint(path: str | Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values atomically; equal states give equal bytes.

    ``torch.save`` to a path would store the file's own name inside of it; to a buffer it always stores ``archive``.

    Args:
        path: the file.
        state: tensors, numbers, texts, and dicts and lists of them.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "last.pt"
        >>> save_checkpoint(path, {"step": 3, "weight": torch.ones(2)})
        >>> load_checkpoint(path)
        {'step': 3, 'weight': tensor([1., 1.])}
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_whole(path, buffer.getvalue(), durable=True)


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read what :func:`save_checkpoint` wrote, onto the CPU, without running any code in the file.

    Args:
        path: the file.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when the file is damaged or no such checkpoint.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"expected a checkpoint, found no file {path}; check the run folder's name")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for damaged files: zip, pickle, runtime, end of file
        raise ValueError(
            f"expected a checkpoint of medvol, found a damaged or foreign file {path} "
            f"({path.stat().st_size} bytes; {type(error).__name__}); remove it, or start anew with --restart True"
        ) from error
    if not isinstance(state, dict):
        raise ValueError(f"expected a dict in {path}, found {type(state).__name__}; start anew with --restart True")
    return state


def save_weights(path: str | Path, module: nn.Module) -> None:
    """Write a module's state dict as plain CPU tensors; equal weights give equal bytes.

    Tensors that a network lists under two names (MONAI's ``DynUNet`` does) are stored once.

    Args:
        path: the file.
        module: any network.
    """
    copies: dict[tuple, torch.Tensor] = {}
    state = {}
    for name, tensor in module.state_dict().items():
        place = (tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride()) if tensor.numel() else (name,)
        if place not in copies:  # a copy, since a view would drag its whole storage into the file
            copies[place] = tensor.detach().cpu().contiguous().clone()
        state[name] = copies[place]
    save_checkpoint(path, state)


def training_state(trainer: Trainer) -> dict[str, Any]:
    """Return the state of a trainer after a counted step: weights, loss, optimizer, schedule, scaler, clock."""
    grouping = trainer.grouping
    return {
        "network": trainer.unwrapped.state_dict(),
        "loss": _state_of(trainer.loss_function if isinstance(trainer.loss_function, nn.Module) else None),
        "optimizer": trainer.optimizer.state_dict(),
        "lr_scheduler": _state_of(trainer.lr_scheduler),
        "scaler": _state_of(trainer.scaler),
        "clock": trainer.clock(),
        "grouping": [grouping.epoch_length, grouping.accumulation_steps],
    }


def restore_training(trainer: Trainer, state: dict[str, Any]) -> None:
    """Put a trainer into the state that :func:`training_state` returned; the next micro-batch is the next one then.

    Args:
        trainer: built like the one whose state it is.
        state: that state, on any device.

    Raises:
        ValueError: when the state lacks a part, or belongs to another number of micro-batches per step or epoch.
    """
    if missing := [part for part in PARTS if part not in state]:
        raise ValueError(
            f"expected a training state with the parts {PARTS}, found none of {missing}; "
            "give the folder of a training run, or start anew with --restart True"
        )
    own = [trainer.grouping.epoch_length, trainer.grouping.accumulation_steps]
    if list(state["grouping"]) != own:
        raise ValueError(
            f"expected the checkpoint's {state['grouping']} micro-batches per epoch and per step, found {own}; "
            "keep steps_per_epoch and accumulation_steps, or start anew with --restart True"
        )
    trainer.unwrapped.load_state_dict(state["network"])
    if isinstance(trainer.loss_function, nn.Module):
        trainer.loss_function.load_state_dict(state["loss"])
    trainer.optimizer.load_state_dict(state["optimizer"])
    for name in ("lr_scheduler", "scaler"):
        part = getattr(trainer, name)
        if part is not None:
            part.load_state_dict(state[name])
    trainer.load_clock(state["clock"])


def _state_of(part: Any) -> dict[str, Any]:
    return {} if part is None else part.state_dict()
