"""A bundle's trained encoder outside of MONAI's runner, and the vector that it gives an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from medvol.networks import Encoder, find_weights, load_pretrained

from ..checks.intensities import intensity_problems
from ..checks.weight_rules import channel_problems
from ..doctor.hardware import memory
from ..inherit import fill_inherited
from ..keys import key_problems
from ..opening import OpenBundle, open_bundle
from ..refusal import innermost, refuse, refuse_errors

__all__ = ["check_memory", "embed_image", "open_inference", "stage_numbers", "trained_encoder"]

# Of the finest map, as bytes at once: what a residual block with norms needs in inference, measured on DynUNet.
_MAPS_AT_ONCE = 5


def open_inference(bundle: str | Path, overrides: Mapping[str, Any]) -> tuple[OpenBundle, Path | None]:
    """Open a bundle's inference config as the guard would leave it for its weights.

    Args:
        bundle: a bundle's name, folder or inference config.
        overrides: values for the config's keys.

    Returns:
        The config, with what the weights' passport brings along, and the weights' file; None for ``weights`` "random".

    Raises:
        GuardError: a key that nothing reads, or no weights.
        FileNotFoundError: no such bundle.
        ValueError: the config is of another kind, or the overrides name images.
    """
    clash = sorted({"input_dir", "manifest"} & set(overrides))
    if clash:
        raise ValueError(f"the images must be named once, after the bundle; found --{clash[0]}, too; leave it out")
    opened = open_bundle(bundle, "inference.json", overrides)
    absent = [key for key in ("network_def", "preprocessing", "modalities", "weights") if key not in opened.config]
    if absent:
        raise ValueError(
            f"{opened.file.name} must be an inference config; it has no '{absent[0]}' at its top; give the bundle's "
            f"folder, {opened.folder}"
        )
    config = opened.config
    refuse_errors(key_problems(config, opened.original))
    if config["weights"] == "random":
        return opened, None
    weights = _find_weights(opened, "weights" in overrides)
    opened.parser["weights"] = str(weights)
    fill_inherited(opened.parser, opened.original)
    refuse_errors(channel_problems(opened.config))
    refuse_errors(intensity_problems(opened))
    return opened, weights


def _find_weights(opened: OpenBundle, given: bool) -> Path:
    spec = opened.config["weights"]
    if spec == f"{opened.name}@latest":
        spec = f"{opened.folder}@latest"  # this very bundle, not another one of its name
    if not isinstance(spec, (str, Path, type(None))):
        refuse("a text for 'weights'", repr(spec), "name the folder of the images before --weights, as in its help")
    remedy = "give a path or a name from that list by --weights, or --weights random for an untrained encoder"
    try:
        path = find_weights(spec)
    except (FileNotFoundError, ValueError) as error:
        released = opened.folder / "models" / "model.pt"
        if not given and released.is_file():
            return released
        refuse("weights for 'weights'", str(error), remedy)
    if path is None:
        refuse("a trained network", f"'weights' is {spec!r}", remedy)
    return path


def trained_encoder(opened: OpenBundle, weights: Path | None) -> Encoder:
    """Return the encoder of a config's network with its weights, in float32, on the config's device.

    Args:
        opened: an inference config, whose ``network_def`` is an ``Encoder`` or a network of the encoder table.
        weights: a file of the encoder or of the whole network; None for an untrained one, always the same.

    Raises:
        ValueError: the network cannot be built, is not in the encoder table, or the weights do not fit.
    """
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = opened.parser.get_parsed_content("network_def")
            device = torch.device(opened.parser.get_parsed_content("device"))
    except Exception as error:  # MONAI wraps whatever a component says
        raise ValueError(
            f"the network of {opened.name} must be buildable; found: {innermost(error)}; correct the overrides"
        ) from error
    encoder = network if isinstance(network, Encoder) else Encoder(network)
    if weights is not None:
        load_pretrained(encoder, weights)
    return encoder.to(device).float().eval()


def stage_numbers(stages: Sequence[int | str] | str | None, encoder: Encoder) -> list[int]:
    """Return the numbers of the stages, sorted; of None, that of the last one.

    Raises:
        ValueError: no such stage; the message lists those that there are.
    """
    count = len(encoder.channels)
    if stages is None:
        return [count - 1]
    words = [stages] if isinstance(stages, (str, int)) else list(stages)
    if words == ["all"]:
        return list(range(count))
    if not words or not all(str(word) in map(str, range(count)) for word in words):
        shown = ", ".join(
            f"{n} ({width} features, stride {stride})"
            for n, (width, stride) in enumerate(zip(encoder.channels, encoder.strides, strict=True))
        )
        raise ValueError(f"stages must be 'all' or some of {shown}; found {words}; write for instance --stages 0 2")
    return sorted({int(word) for word in words})


@torch.inference_mode()
def embed_image(encoder: Encoder, image: torch.Tensor, stages: Sequence[int]) -> np.ndarray:
    """Return the means over space of the maps of some stages, one after the other.

    Nothing is padded or cut: an encoder takes any size that its strides leave a voxel of (only a decoder needs sizes
    that can be divided).

    Args:
        encoder: in evaluation mode.
        image: ``(C, *spatial)``; an encoder of two axes also takes a volume, slice by slice, and then the mean is one
            over slices, too.
        stages: numbers of the stages.

    Returns:
        ``(F,)`` float32.

    Raises:
        ValueError: the image has other axes or channels, is too small or too large, or its features are not finite.

    Example:
        >>> from monai.networks.nets import BasicUNet
        >>> encoder = Encoder(BasicUNet(spatial_dims=2, features=(4, 4, 4, 4, 8, 4))).eval()
        >>> embed_image(encoder, torch.rand(1, 37, 34), [0, 4]).shape
        (12,)
    """
    if not encoder.spatial_dims + 1 <= image.ndim <= 4 or len(image) != encoder.in_channels:
        axes = ", ".join("XYZ"[: encoder.spatial_dims])
        raise ValueError(
            f"an image must be ({encoder.in_channels}, {axes}) after pre-processing, found the shape "
            f"{tuple(image.shape)}; name its channels by --modalities, or choose a bundle for such images"
        )
    device = next(encoder.parameters()).device
    try:
        maps = encoder.pyramid(image[None].to(device))
    except (RuntimeError, ValueError) as error:  # too small for the strides, or too large for the memory
        raise ValueError(
            f"an image of shape {tuple(image.shape)} must pass an encoder with strides {encoder.strides}; found: "
            f"{innermost(error)}; change --spacing, or crop or pad the image"
        ) from error
    vector = torch.cat([maps[stage][0].reshape(maps[stage].shape[1], -1).mean(1) for stage in stages])
    if not torch.isfinite(vector).all():
        raise ValueError(
            f"an image must give finite features; found NaN or infinity in {int((~torch.isfinite(vector)).sum())} of "
            f"{len(vector)}; look for such voxels in the image, and for such numbers in the weights"
        )
    return vector.cpu().numpy()


def check_memory(encoder: Encoder, voxels: float) -> None:
    """Refuse an image that the machine's memory cannot bear in one piece.

    There is no sliding window: group norm, which all presets have, averages over what it sees, so the mean over
    windows would be another vector than that of the whole volume, and not comparable with it.

    Args:
        encoder: the network.
        voxels: of the image after pre-processing.

    Raises:
        ValueError: an estimate of what the encoder's widest map takes is above the machine's memory.
    """
    dims = encoder.spatial_dims
    volumes = [np.prod(np.broadcast_to(stride, dims)) for stride in encoder.strides]
    widest = max(width / volume for width, volume in zip(encoder.channels, volumes, strict=True))
    need, have = 4 * _MAPS_AT_ONCE * widest * voxels, _memory(next(encoder.parameters()).device)
    if have is not None and need > have:
        raise ValueError(
            f"an image must fit into memory as a whole; found {voxels:.3g} voxels, which take about "
            f"{need / 1e9:.0f} GB of {have / 1e9:.0f} GB; crop it, give a larger --spacing, or use a larger machine"
        )


def _memory(device: torch.device) -> float | None:
    """Bytes; None where nothing tells them."""
    if device.type == "cuda":
        return float(torch.cuda.get_device_properties(device).total_memory)
    return memory()
