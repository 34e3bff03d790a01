"""From what a manifest says of a whole image to the label of a classification."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import torch
from monai.transforms import Transform

__all__ = ["TargetsToLabeld"]


class TargetsToLabeld(Transform):
    """Turn the named targets of an item into a label: the index of each target's class, NaN where it is not known.

    A manifest names classes (``{"retinopathy": "mild"}``); their numbers are their places in ``targets``, which stands
    in the config, so that no order is guessed. The entry ``targets`` is used up: nothing but tensors reaches the batch.

    Args:
        targets: target to its classes, in order; the first class is 0.
        label_key: where the label goes: ``(T,)`` float32, one number per target.
        targets_key: where the item carries its targets; an item without any has a label of NaN.

    Raises:
        ValueError: if there is no target, or one with fewer than two different classes; when called, for a class that
            is not among those of its target.

    Example:
        >>> to_label = TargetsToLabeld({"grade": ["none", "mild", "severe"], "edema": ["absent", "present"]})
        >>> to_label({"targets": {"grade": "severe"}})
        {'label': tensor([2., nan])}
    """

    def __init__(
        self, targets: Mapping[str, Sequence[str]], label_key: str = "label", targets_key: str = "targets"
    ) -> None:
        super().__init__()
        wrong = [name for name, classes in targets.items() if isinstance(classes, str) or len(set(classes)) < 2]
        if not targets or wrong:
            raise ValueError(
                f"targets must be names, each with two or more different classes; found {dict(targets)}; name the "
                "classes in their order, as {'grade': ['none', 'mild']}"
            )
        self.numbers = {name: {one: float(k) for k, one in enumerate(classes)} for name, classes in targets.items()}
        self.label_key, self.targets_key = label_key, targets_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the sample with a label in the place of its targets."""
        sample = dict(data)
        found = sample.pop(self.targets_key, None) or {}
        values = []
        for name, numbers in self.numbers.items():
            value = found.get(name)
            if value is not None and value not in numbers:
                near = get_close_matches(str(value), numbers, n=1)
                hint = f"did you mean '{near[0]}'? " if near else ""
                raise ValueError(
                    f"target '{name}' must be one of {', '.join(numbers)}; found {value!r}; {hint}correct the "
                    "manifest, or the classes in the config's 'targets'"
                )
            values.append(float("nan") if value is None else numbers[value])
        sample[self.label_key] = torch.tensor(values, dtype=torch.float32)
        return sample
