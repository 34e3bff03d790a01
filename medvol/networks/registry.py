# Copyright (c) medvol contributors. Licensed under the Apache License, Version 2.0.
"""Where the encoder lies inside a library's network: one open table, one row per library class.

A row tells three things about a network: the stages of its encoder in the order of its own forward, the layers that
read the image, and the layers that write the answer. Everything else (features, transfer, freezing) is derived from
these paths.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import torch
from torch import nn

from .token_grid import TokenGrid

__all__ = [
    "EncoderRow",
    "Stage",
    "encoder_keys",
    "encoder_modules",
    "find_row",
    "find_stages",
    "input_paths",
    "is_listed",
    "known_networks",
    "output_keys",
    "register_encoder",
]


@dataclass(frozen=True)
class Stage:
    """One feature map of an encoder: the submodules that make it from the previous map.

    Attributes:
        modules: paths of the submodules in the library network, run in sequence (parameter-free ones included).
        channels: number of channels of the map.
        stride: downsampling against the previous map (the first: against the input), one int or one per axis.
        emit: what the network does to the running tensor before it hands the map out (``SwinUNETR`` normalizes it); the
            running tensor itself goes on unchanged. A function of a module, so that an Encoder can be pickled.
        contiguous: make the running tensor contiguous first, as the network's own forward does.
        tokens: where the running tensor is a sequence of tokens ``(B, N, C)``, their grid, onto which the map is put;
            None where it is a map.
    """

    modules: tuple[str, ...]
    channels: int
    stride: int | tuple[int, ...] = 1
    emit: Callable[[torch.Tensor], torch.Tensor] | None = None
    contiguous: bool = False
    tokens: TokenGrid | None = None

    @property
    def name(self) -> str:
        """The name of the stage for ``until``: the path of its last submodule in the library network."""
        return self.modules[-1]


@dataclass(frozen=True)
class EncoderRow:
    """One row of the table: three functions of a network of the listed class.

    Attributes:
        stages: the encoder's stages, finest map first.
        inputs: paths of every layer that reads the image, the encoder's first one first. A path that holds no weight
            says that the image enters there unweighted (an identity shortcut), so channels cannot be mapped.
        outputs: paths of the output layer: the layers whose shape depends on the number of output channels.
        full_size: whether the network's own forward ends in a map of the image's size, as a U-Net's does.
    """

    stages: Callable[[nn.Module], Sequence[Stage]]
    inputs: Callable[[nn.Module], Sequence[str]]
    outputs: Callable[[nn.Module], Sequence[str]]
    full_size: bool = True


_ROWS: dict[type[nn.Module], EncoderRow] = {}


def register_encoder(cls: type[nn.Module], row: EncoderRow) -> None:
    """Adds a network class to the table (or replaces its row).

    Args:
        cls: the network's class; its subclasses are served by the same row unless they have a nearer one.
        row: stages, input layers and output layer.

    Raises:
        ValueError: when ``cls`` is not a class of ``torch.nn.Module``.

    Example:
        >>> from medvol.networks import Encoder, EncoderRow, Stage, register_encoder
        >>> class Tiny(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.stem, self.last = nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.Conv2d(4, 2, 1)
        >>> def stages(network): return [Stage(("stem",), channels=4, stride=2)]
        >>> def inputs(network): return ["stem"]
        >>> def outputs(network): return ["last"]
        >>> register_encoder(Tiny, EncoderRow(stages, inputs, outputs))
        >>> sorted(Encoder(Tiny()).state_dict())
        ['stem.bias', 'stem.weight']
    """
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
        raise ValueError(
            f"register_encoder expects a subclass of torch.nn.Module, found {cls!r}; give the network's class."
        )
    _ROWS[cls] = row


def known_networks() -> list[str]:
    """Names of the classes in the table, sorted.

    Example:
        >>> from medvol.networks import known_networks
        >>> "DynUNet" in known_networks()
        True
    """
    return sorted(cls.__name__ for cls in _ROWS)


def is_listed(network: nn.Module) -> bool:
    """Whether the class of a network, or one of its base classes, is in the table."""
    return any(cls in _ROWS for cls in type(network).__mro__)


def find_row(network: nn.Module) -> EncoderRow:
    """The row of a network: that of its class or, for a subclass, of its nearest listed base class.

    Raises:
        ValueError: when no class of its method resolution order is listed, or when the nearest row names submodules
            that this subclass does not have.
    """
    for cls in type(network).__mro__:
        if cls in _ROWS:
            _check_paths(network, cls)
            return _ROWS[cls]
    name, known = type(network).__name__, known_networks()
    near = get_close_matches(name, known, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise ValueError(
        f"the encoder table expects one of {', '.join(known)} (or a subclass), found {name};{hint} add its stages with "
        f"medvol.networks.register_encoder({name}, EncoderRow(...))."
    )


def find_stages(network: nn.Module) -> list[Stage]:
    """The stages of a network's encoder, finest map first.

    Raises:
        ValueError: when the network is not in the table.
    """
    return list(find_row(network).stages(network))


def input_paths(network: nn.Module) -> list[str]:
    """Paths of the layers that read the image, the encoder's first one first (see :class:`EncoderRow`)."""
    return list(find_row(network).inputs(network))


def encoder_modules(network: nn.Module) -> list[nn.Module]:
    """The submodules that make up a network's encoder, in forward order, for freezing or for other learning rates.

    Args:
        network: a library network of the table, or an ``Encoder``.

    Returns:
        The very modules of the network (no copies).

    Raises:
        ValueError: when the network is not in the table.

    Example:
        >>> from monai.networks.nets import BasicUNet
        >>> from medvol.networks import encoder_modules
        >>> net = BasicUNet(spatial_dims=2, features=(4, 4, 4, 4, 4, 4))
        >>> encoder_modules(net)[0] is net.conv_0
        True
    """
    return [network.get_submodule(path) for stage in find_stages(network) for path in stage.modules]


def encoder_keys(network: nn.Module) -> set[str]:
    """The state-dict keys of a network's encoder: exactly the keys that ``Encoder(network)`` saves.

    A network that lists a tensor under a second name (``DynUNet.skip_layers``) has these under the first one only.

    Raises:
        ValueError: when the network is not in the table.

    Example:
        >>> from monai.networks.nets import BasicUNet
        >>> from medvol.networks import encoder_keys
        >>> keys = encoder_keys(BasicUNet(spatial_dims=2, features=(4, 4, 4, 4, 4, 4)))
        >>> "down_4.convs.conv_1.conv.weight" in keys, "final_conv.weight" in keys
        (True, False)
    """
    return _keys_below(network, [path for stage in find_stages(network) for path in stage.modules])


def output_keys(network: nn.Module) -> set[str]:
    """The state-dict keys of a network's output layer, deep-supervision heads included.

    Raises:
        ValueError: when the network is not in the table.

    Example:
        >>> from monai.networks.nets import BasicUNet
        >>> from medvol.networks import output_keys
        >>> sorted(output_keys(BasicUNet(spatial_dims=2, features=(4, 4, 4, 4, 4, 4))))
        ['final_conv.bias', 'final_conv.weight']
    """
    return _keys_below(network, find_row(network).outputs(network))


def _keys_below(network: nn.Module, paths: Sequence[str]) -> set[str]:
    prefixes = tuple(f"{path}." for path in paths)
    return {key for key in network.state_dict() if key.startswith(prefixes)}


def _check_paths(network: nn.Module, cls: type[nn.Module]) -> None:
    paths: list[str] = []
    try:
        paths += [path for stage in _ROWS[cls].stages(network) for path in stage.modules]
        for path in paths:
            network.get_submodule(path)
    except AttributeError as error:
        name = type(network).__name__
        raise ValueError(
            f"{name} is served by the row of {cls.__name__} and should have its encoder's submodules, found: {error}; "
            f"register a row of its own with medvol.networks.register_encoder({name}, EncoderRow(...))."
        ) from error
