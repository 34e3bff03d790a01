"""The counter-measures against shortcuts in a bundle's chain of transforms, and how each is switched off."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from types import MappingProxyType
from typing import Any

from ..plain import located

__all__ = ["MEANT_FOR", "components_of", "measures_of", "switched_off"]

MEANT_FOR: Mapping[str, str] = MappingProxyType({"intensity": "ramp", "detrend": "ramp", "mask": "padded"})
"""Counter-measure -> the fixture whose shortcut it closes."""


def components_of(chain: Any) -> Iterator[dict[str, Any]]:
    """Yield the components of a chain of transforms, in its order, at any depth of nested chains.

    Args:
        chain: plain values, as of :func:`medvol.bundles.plain.plain`.

    Example:
        >>> chain = {"_target_": "Compose", "transforms": [{"_target_": "A"}, [{"_target_": "B"}]]}
        >>> [one["_target_"] for one in components_of(chain)]
        ['A', 'B']
    """
    if isinstance(chain, (list, tuple)):
        for part in chain:
            yield from components_of(part)
    elif isinstance(chain, dict) and isinstance(chain.get("transforms"), list):
        yield from components_of(chain["transforms"])
    elif isinstance(chain, dict) and "_target_" in chain and not _is_off(chain):
        yield chain


def measures_of(chain: Any) -> list[str]:
    """Return the counter-measures that a chain has.

    Args:
        chain: plain values.

    Example:
        >>> measures_of([{"_target_": "medvol.transforms.RandPatchGridd", "mask_key": "mask"}])
        ['mask']
    """
    return [name for name, has in _HAS.items() if any(has(component) for component in components_of(chain))]


def switched_off(chain: Any, names: Sequence[str]) -> Any:
    """Return a copy of a chain without some of its counter-measures.

    ``intensity``: no random intensities and no normalization of each patch by itself. ``detrend``: no polynomial is
    subtracted from a patch. ``mask``: the whole image is divided, its empty border included, instead of a crop inside
    of the foreground.

    Args:
        chain: plain values.
        names: of counter-measures, each one that the chain has.

    Raises:
        ValueError: the chain has no counter-measure of that name; the message lists those it has.

    Example:
        >>> switched_off([{"_target_": "A", "mask_key": "mask", "crop_size": 8, "grid": 3}], ["mask"])
        [{'_target_': 'A', 'grid': 3}]
    """
    known = measures_of(chain)
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else "leave --without out, or name one of these"
            raise ValueError(
                f"--without must name counter-measures of this bundle: {', '.join(known) or 'it has none'}; found "
                f"{name!r}; {hint}"
            )
    chain = deepcopy(chain)
    for name in names:
        for component in components_of(chain):
            if _HAS[name](component):
                _TURN_OFF[name](component)
    return chain


def _is_off(component: Mapping[str, Any]) -> bool:
    return component.get("_disabled_") in (True, "true", "True")


def _is_intensity(component: Mapping[str, Any]) -> bool:
    return str(component["_target_"]).endswith("RandPatchIntensityd")


def _detrends(component: Mapping[str, Any]) -> bool:
    if not _is_intensity(component):
        return False
    if "detrend" in component:
        return bool(component["detrend"])
    default = inspect.signature(located(dict(component)).__init__).parameters.get("detrend")
    return default is not None and bool(default.default)


def _without_mask(component: dict[str, Any]) -> None:
    del component["mask_key"]
    component.pop("crop_size", None)


_HAS: Mapping[str, Callable[[Mapping[str, Any]], bool]] = {
    "intensity": _is_intensity,
    "detrend": _detrends,
    "mask": lambda component: component.get("mask_key") is not None,
}
_TURN_OFF: Mapping[str, Callable[[dict[str, Any]], None]] = {
    "intensity": lambda component: component.update(_disabled_=True),
    "detrend": lambda component: component.update(detrend=0),
    "mask": _without_mask,
}
