# Copyright (c) medvol contributors. Licensed under the Apache License, Version 2.0.
"""The encoder of a library's network, under the network's own parameter names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches

import torch
from torch import nn

from . import library as library  # noqa: PLC0414  (fills the encoder table)
from .masks import check_binary, check_seen
from .registry import EncoderRow, Stage, encoder_modules, find_stages, input_paths, register_encoder
from .sparse import make_sparse
from .token_grid import as_slices, as_volumes, come_as_volumes

__all__ = ["Encoder"]


class Encoder(nn.Module):
    """Adopts the encoder of a library network and returns its feature maps.

    The submodules are the network's own, held under the network's own dotted paths, and nothing else is kept. So
    training this module trains the network, its state-dict keys are a subset of the network's keys, and what it saves
    can be loaded by any program that builds the library's network: ``missing, unexpected =
    network.load_state_dict(file, strict=False)`` finds nothing unexpected. The maps are bit-equal to those inside the
    network's own forward.

    ``sparse=True`` converts the convolutions, norms and max poolings of the *shared* modules in place (Tian et al.,
    SparK, https://arxiv.org/abs/2301.03580). They run the library's own code whenever no mask is set, also inside the
    network; parameter names do not change. At a lower resolution a voxel is visible if any input voxel under it is
    visible (max pooling).

    Args:
        network: a network of the encoder table: MONAI ``UNet``, ``BasicUNet``, ``DynUNet``, ``SegResNet``,
            ``SegResNetDS``, ``SwinUNETR``, ``UNETR``, ``ViT`` (one map, without class token), ``FlexibleUNet``,
            ``ResNet``, ``DenseNet`` in 2D and 3D, or a class given to ``register_encoder``.
        until: name of the last stage to run and to keep (see ``stage_names``); None keeps all.
        output: what ``forward`` returns: "last", the coarsest map as one tensor, or "pyramid", a tuple of all maps.
        sparse: accept a mask of visible voxels.

    Attributes:
        spatial_dims: 2 or 3.
        in_channels: channels of the input.
        stage_names: name of every map's stage, finest first.
        channels: channels of every map, finest first.
        strides: downsampling of every map against the input, non-decreasing; an int, or a tuple with one int per axis
            where the axes differ.
        network_name: class of the library network.

    Raises:
        ValueError: when the network is not in the table, ``until`` is no stage of it, ``output`` is unknown, or
            ``sparse`` is asked of a network that mixes voxels in other ways (attention).

    Example:
        >>> import torch
        >>> from monai.networks.nets import UNet
        >>> net = UNet(2, in_channels=1, out_channels=2, channels=(4, 8, 16), strides=(2, 2), norm="batch")
        >>> encoder = Encoder(net)
        >>> encoder.channels, encoder.strides
        ((4, 8, 16), (2, 4, 4))
        >>> [tuple(f.shape) for f in encoder.pyramid(torch.zeros(1, 1, 16, 16))]
        [(1, 4, 8, 8), (1, 8, 4, 4), (1, 16, 4, 4)]
        >>> set(encoder.state_dict()) < set(net.state_dict())
        True
    """

    def __init__(
        self, network: nn.Module, until: str | None = None, output: str = "last", sparse: bool = False
    ) -> None:
        super().__init__()
        if output not in ("last", "pyramid"):
            raise ValueError(f"output expects 'last' or 'pyramid', found {output!r}; choose one of the two.")
        stages = _cut(find_stages(network), until)
        self.output = output
        self.network_name: str = network.network_name if isinstance(network, Encoder) else type(network).__name__
        self._stages: tuple[Stage, ...] = tuple(stages)
        self._inputs = tuple(path for path in input_paths(network) if _inside(path, stages))
        # the names that a file of the whole network may hold besides (transfer accepts exactly these)
        self._network_keys = _all_keys(network)
        self._adopt(network)
        self._holder = make_sparse(encoder_modules(self)) if sparse else None

        weight = self.get_submodule(self._inputs[0]).weight
        self.spatial_dims: int = weight.ndim - 2
        self.in_channels: int = weight.shape[1]
        self.stage_names: tuple[str, ...] = tuple(stage.name for stage in stages)
        self.channels: tuple[int, ...] = tuple(stage.channels for stage in stages)
        self.strides: tuple[int | tuple[int, ...], ...] = _cumulative(stages, self.spatial_dims)

    @property
    def sparse(self) -> bool:
        """Whether this encoder accepts a mask."""
        return self._holder is not None

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """The coarsest feature map, or with ``output="pyramid"`` the tuple of all; arguments as in :meth:`pyramid`."""
        maps = self.pyramid(x, mask)
        return maps[-1] if self.output == "last" else tuple(maps)

    def pyramid(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> list[torch.Tensor]:
        """The feature maps, finest to coarsest.

        Args:
            x: images ``(B, in_channels, *spatial)``. An encoder of two axes takes volumes, too, slice by slice:
                ``(B, in_channels, X, Y, Z)``, in training with Z = 1 only: views that were not folded into the batch
                have as many axes. Its maps then keep the axis Z.
            mask: visible voxels, ``(B, 1, *spatial)`` or anything that broadcasts to it, 1 = visible, 0 = hidden;
                only with ``sparse=True``. Hidden voxels of the maps are zero. None: dense.

        Returns:
            One tensor ``(B, channels[i], *spatial / strides[i])`` per stage.

        Raises:
            ValueError: when ``x`` has other axes or channels, or another size than a transformer has positions for, or
                the mask is not usable.
        """
        if come_as_volumes(x, self.spatial_dims, self.training):
            slices = self.pyramid(as_slices(x), None if mask is None else as_slices(mask))
            return [as_volumes(found, len(x)) for found in slices]
        self._check_image(x)
        size = x.shape[2:]
        with self.masked(mask, x):
            maps = []
            for stage in self._stages:
                x = x.contiguous() if stage.contiguous else x
                for path in stage.modules:
                    x = self.get_submodule(path)(x)
                x = x if mask is None else self._holder.hide(x)
                found = x if stage.emit is None else stage.emit(x)
                maps.append(found if stage.tokens is None else stage.tokens.to_map(found, size))
        return maps

    @contextmanager
    def masked(self, mask: torch.Tensor | None, x: torch.Tensor) -> Iterator[None]:
        """Sets the mask for a ``with`` block, for running the library network itself on images ``x`` with holes.

        Args:
            mask: as in :meth:`pyramid`; None leaves everything dense.
            x: the images, for their batch and spatial size.

        Raises:
            ValueError: when the encoder is dense, the mask does not broadcast, is not binary or hides a whole sample.
        """
        if mask is None:
            yield
            return
        if not self.sparse:
            raise ValueError(
                "a mask expects Encoder(..., sparse=True), found sparse=False; build the encoder with sparse=True."
            )
        with self._holder.hold(_check_mask(mask, x)):
            yield

    def _check_image(self, x: torch.Tensor) -> None:
        if x.ndim != self.spatial_dims + 2 or x.shape[1] != self.in_channels:
            axes = ", ".join("DHW"[-self.spatial_dims :])
            raise ValueError(
                f"this encoder expects images (B, {self.in_channels}, {axes}), found shape {tuple(x.shape)}; fold "
                "views or patches into the batch first, and build the network with as many channels as the image has."
            )
        for tokens in (stage.tokens for stage in self._stages if stage.tokens is not None):
            tokens.of(x.shape[2:])

    def _adopt(self, network: nn.Module) -> None:
        for path in (path for stage in self._stages for path in stage.modules):
            *parents, name = path.split(".")
            node: nn.Module = self
            for parent in parents:
                if parent not in node._modules:
                    node.add_module(parent, nn.Module())
                node = node._modules[parent]
                node.training = network.training
            node.add_module(name, network.get_submodule(path))
        self.training = network.training


def _cut(stages: Sequence[Stage], until: str | None) -> list[Stage]:
    names = [stage.name for stage in stages]
    if until is None:
        return list(stages)
    if until not in names:
        near = get_close_matches(until, names, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"until expects a stage of this network, one of {names}, found {until!r};{hint} give one of these names."
        )
    return list(stages[: names.index(until) + 1])


def _inside(path: str, stages: Sequence[Stage]) -> bool:
    return any(f"{path}.".startswith(f"{module}.") for stage in stages for module in stage.modules)


def _all_keys(network: nn.Module) -> frozenset[str]:
    return network._network_keys if isinstance(network, Encoder) else frozenset(network.state_dict())


def _cumulative(stages: Sequence[Stage], spatial_dims: int) -> tuple[int | tuple[int, ...], ...]:
    total, strides = (1,) * spatial_dims, []
    for stage in stages:
        step = stage.stride if isinstance(stage.stride, tuple) else (stage.stride,) * spatial_dims
        total = tuple(a * b for a, b in zip(total, step, strict=True))
        strides.append(total[0] if len(set(total)) == 1 else total)
    return tuple(strides)


def _check_mask(mask: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    shape = (x.shape[0], 1, *x.shape[2:])
    try:
        full = mask.to(x.device).expand(shape)
    except RuntimeError as error:
        raise ValueError(
            f"mask expects a shape that broadcasts to {shape}, found {tuple(mask.shape)}; draw it at image resolution."
        ) from error
    check_binary(full, "1 (visible) or 0 (hidden)")
    check_seen(full != 0)
    return full


def _stages_of(encoder: Encoder) -> list[Stage]:
    return list(encoder._stages)


def _inputs_of(encoder: Encoder) -> list[str]:
    return list(encoder._inputs)


def _outputs_of(encoder: Encoder) -> list[str]:
    return []


# an Encoder is a network of the table too: it can be cut further, and weights load into it directly
register_encoder(Encoder, EncoderRow(_stages_of, _inputs_of, _outputs_of, full_size=False))
