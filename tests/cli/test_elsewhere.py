"""Our files in processes without medvol, and without PyTorch; each starts a process, so there are two."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from medvol.bundles.export import export
from medvol.bundles.opening import open_bundle

ROOT = Path(__file__).parents[2]
BLOCK = "import sys\n\n" + "\n".join(
    [
        "class Without:",
        "    def find_spec(self, name, path=None, target=None):",
        "        if name.partition('.')[0] in {names!r}:",
        "            raise ModuleNotFoundError(f'{name} cannot be imported here')",
        "sys.meta_path.insert(0, Without())",
        "",
    ]
)
PLAIN = """
import numpy as np
from safetensors.torch import load_file

def holds(net, weights):
    return all(torch.equal(net.state_dict()[name], weights[name]) for name in weights)

image = torch.from_numpy(np.load("image.npy"))
{page}
assert missing == [] and holds(net, weights)
with torch.no_grad():
    np.save("whole.npy", net.eval()(image).numpy())

weights = torch.load("encoder.pt", weights_only=True)
missing, unexpected = net.load_state_dict(weights, strict=False)
assert not unexpected and missing and holds(net, weights)

weights = load_file("model.safetensors")
missing, unexpected = net.load_state_dict(weights, strict=False)
assert not unexpected and holds(net, weights)
with torch.no_grad():
    np.save("safetensors.npy", net.eval()(image).numpy())
assert not [name for name in sys.modules if name.partition(".")[0] == "medvol"]
"""
ONNX = """
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
(logits,) = session.run(["pred"], {"image": np.load("image.npy")})
np.save("onnx.npy", logits)
assert not [name for name in sys.modules if name.partition(".")[0] in ("medvol", "torch", "monai")]
"""


def network(bundle: str, **widths: object) -> torch.nn.Module:
    torch.manual_seed(0)
    return open_bundle(bundle, "inference.json", widths).parser.get_parsed_content("network_def").eval()


def python(folder: Path, blocked: tuple[str, ...], code: str) -> None:
    """Run code in a folder, in a process that cannot import some packages."""
    (folder / "run.py").write_text(BLOCK.replace("{names!r}", repr(blocked)) + code)
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "run.py"], cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_plain_monai_without_medvol(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    torch.save(network("unet_brats").state_dict(), tmp_path / "model.pt")
    torch.save(network("cpc3d").state_dict(), tmp_path / "encoder.pt")
    export("unet_brats", tmp_path / "model.safetensors", "safetensors", tmp_path / "model.pt")
    image = torch.rand(1, 4, 16, 16, 16)
    np.save(tmp_path / "image.npy", image.numpy())
    page = (ROOT / "docs" / "elsewhere.md").read_text(encoding="utf-8")
    block = re.search(r"```python\n(.*?)```", page.split("\n## MONAI without medvol\n")[1], re.DOTALL)[1]
    imports, _, rest = block.partition("\n\n")
    python(tmp_path, ("medvol",), f"{imports}\n{PLAIN.replace('{page}', rest)}")
    with torch.no_grad():
        ours = network("unet_brats")(image).numpy()
    np.testing.assert_array_equal(np.load(tmp_path / "whole.npy"), ours)
    np.testing.assert_array_equal(np.load(tmp_path / "safetensors.npy"), ours)


@pytest.mark.slow
def test_onnx_without_torch(tmp_path: Path) -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    net = network("unet_brats")
    torch.save(net.state_dict(), tmp_path / "model.pt")
    export("unet_brats", tmp_path / "model.onnx", "onnx", tmp_path / "model.pt")
    image = torch.rand(2, 4, 32, 16, 24)
    np.save(tmp_path / "image.npy", image.numpy())
    python(tmp_path, ("medvol", "torch", "monai"), ONNX)
    with torch.no_grad():
        np.testing.assert_allclose(np.load(tmp_path / "onnx.npy"), net(image).numpy(), atol=1e-4)
