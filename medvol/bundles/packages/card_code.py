"""How to load weights, as Python that stands in a model card: the very network, spelled out from its passport."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
_WIDTH = 100  # characters of a line of code


def loading_code(record: Mapping[str, Any], file: str = "models/model.pt") -> str:
    """Return the ways to load weights into their network: without medvol where that is possible, and with it.

    Args:
        record: a passport with the architecture.
        file: the weights file, as the code shall name it.
    """
    node = record.get("architecture")
    encoder = isinstance(node, dict) and isinstance(node.get("network"), dict)
    network = node["network"] if encoder else node
    imports: set[str] = set()
    built = constructor(network, imports)
    if built is None:
        return f"The network's arguments are not stated; build it from the bundle's configs and load `{file}` into it."
    lines = [f"network = {built}"]
    parts = []
    if not any(line.startswith("from medvol") for line in imports):
        parts += [_plain_code(sorted(imports), lines, file, encoder), ""]
    name = network["_target_"].rpartition(".")[2]
    with_medvol = sorted({*imports, "from medvol.networks import load_pretrained"})
    scope = "" if encoder else ', scope="network"'
    call = f"network = load_pretrained(network, {file!r}{scope})".replace("'", '"')
    parts += [
        "With medvol, which checks every tensor, says what it loaded, and maps the input channels by name with "
        '`adapt=["t1"]` (see `help(load_pretrained)`):' if encoder else
        f"With medvol, which checks every tensor of the `{name}` and says what it loaded:",
        "",
        _block([*with_medvol, "", *lines, call]),
    ]  # fmt: skip
    return "\n".join(parts)


def constructor(node: Any, imports: set[str], indent: int = 0) -> str | None:
    """Return a component as the Python that builds it, and add the lines that import what it names.

    Args:
        node: a dict with ``_target_`` and plain arguments.
        imports: import lines are added here.
        indent: columns that the code is moved to the right.

    Returns:
        The code, or None where the component or an argument cannot be spelled out.

    Example:
        >>> lines = set()
        >>> constructor({"_target_": "torch.nn.Linear", "in_features": 2, "out_features": 3}, lines), lines
        ('Linear(in_features=2, out_features=3)', {'from torch.nn import Linear'})
    """
    target = node.get("_target_") if isinstance(node, dict) else None
    if not isinstance(target, str) or not _NAME.fullmatch(target):
        return None
    module, _, name = target.rpartition(".")
    words = []
    for key, value in sorted(node.items()):
        if key == "_target_":
            continue
        word = _argument(value, imports, indent + 4)
        if word is None or not key.isidentifier():
            return None
        words.append(f"{key}={word}")
    imports.add(f"from {module} import {name}")
    line = f"{name}({', '.join(words)})"
    if len(line) + indent <= _WIDTH - len("network = ") and "\n" not in line:
        return line
    inner = "".join(f"{' ' * (indent + 4)}{word},\n" for word in words)
    return f"{name}(\n{inner}{' ' * indent})"


def _argument(value: Any, imports: set[str], indent: int) -> str | None:
    if isinstance(value, dict) and "_target_" in value:
        return constructor(value, imports, indent)
    # What begins so is a reference or an expression that had no plain value.
    return None if any(text[:1] in ("$", "@", "%") for text in _texts(value)) else repr(value)


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    parts = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for part in parts for text in _texts(part)]


def _plain_code(imports: list[str], lines: list[str], file: str, encoder: bool) -> str:
    state = f'state = torch.load("{file}", map_location="cpu", weights_only=True)'
    if not encoder:
        text = "In plain PyTorch and MONAI:"
        code = [state, "network.load_state_dict(state)"]
    else:
        text = (
            "In plain PyTorch and MONAI. The weights are the encoder; the other layers stay new, so their arguments, "
            "such as `out_channels`, are yours to choose:"
        )
        fitted = "missing, unexpected = network.load_state_dict(state, strict=False)"
        code = [state, fitted, "assert not unexpected"]
    return "\n".join([text, "", _block(["import torch", *imports, "", *lines, *code])])


def _block(lines: list[str]) -> str:
    return "\n".join(["```python", *lines, "```"])
