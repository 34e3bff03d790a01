"""Two processes compute what one process with both batches computes: loss and gradients, in double precision."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import two_ranks

from medvol import distributed
from medvol.losses import InfoNCELoss, infonce
from medvol.networks.cpc import CPC

pytestmark = pytest.mark.slow

WORLD, BATCH, PATCHES = two_ranks.WORLD, 2, 27


def encoder() -> torch.nn.Module:
    path = Path(__file__).parents[1] / "fixtures/encoders.py"
    spec = importlib.util.spec_from_file_location("medvol_fixtures_encoders", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.TinyEncoder()


def network() -> CPC:
    torch.manual_seed(0)
    cpc = CPC(encoder(), 3, patch_size=6, patch_stride=4, embedding=5, hidden=7).double()
    for linear in cpc.predict.values():
        torch.nn.init.normal_(linear.weight)
    return cpc


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Patches and foreground of all volumes; uneven, so that processes have different numbers of predictions."""
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(WORLD * BATCH, PATCHES, 1, 6, 6, 6, generator=generator, dtype=torch.float64)
    foreground = torch.rand(WORLD * BATCH, PATCHES, generator=generator)
    foreground[BATCH:] *= 0.2
    return image, foreground


def gather_detached(x: torch.Tensor) -> torch.Tensor:
    """The popular wrong gather: detach all, put the own rows back."""
    if x.dtype == torch.bool:
        return distributed.gather(x)
    blocks = [torch.empty_like(x) for _ in range(WORLD)]
    dist.all_gather(blocks, x.detach().contiguous())
    blocks[distributed.rank()] = x
    return torch.cat(blocks)


def of_one_process(rank: int) -> dict:
    """Loss and gradients, averaged as DDP does, with both ways to gather."""
    x = torch.full((2, 3), float(rank), requires_grad=True)
    gathered = distributed.gather(x)
    (gathered * torch.arange(4.0)[:, None] * (rank + 1)).sum().backward()
    seen = {
        "right": loss_and_gradients(rank),
        "gathered": gathered.detach(),
        "gathered_gradient": x.grad,
        "flags": distributed.gather(torch.tensor([rank == 0, True])),
        "object": distributed.broadcast_object(f"from {rank}"),
        "main": distributed.is_main(),
    }
    infonce.gather = gather_detached
    seen["detached"] = loss_and_gradients(rank)
    return seen


def loss_and_gradients(rank: int) -> dict:
    cpc = network()
    loss = InfoNCELoss()(cpc(*(part[rank * BATCH : (rank + 1) * BATCH] for part in batch())))
    loss.backward()
    gradients = {name: distributed.all_sum(p.grad) / WORLD for name, p in cpc.named_parameters()}
    return {"loss": loss.detach(), "gradients": gradients}


@pytest.fixture(scope="module")
def processes(tmp_path_factory) -> list[dict]:
    return two_ranks.run(__file__, tmp_path_factory.mktemp("two_ranks"))


def errors(seen: dict) -> tuple[float, float]:
    """Largest difference of the loss and of any gradient from one process with all volumes."""
    cpc = network()
    loss = InfoNCELoss()(cpc(*batch()))
    loss.backward()
    worst = max(float((p.grad - seen["gradients"][name]).abs().max()) for name, p in cpc.named_parameters())
    return float((loss.detach() - seen["loss"]).abs()), worst


def test_two_processes_equal_one(processes):
    for seen in processes:
        assert max(errors(seen["right"])) < 1e-10


def test_the_detached_gather_has_the_right_loss_and_a_wrong_gradient(processes):
    for seen in processes:
        loss, gradient = errors(seen["detached"])
        assert loss < 1e-10
        assert gradient > 1e-4


def test_gather_is_in_rank_order_and_sums_gradients(processes):
    for seen in processes:
        assert seen["gathered"].tolist() == [[0.0] * 3] * 2 + [[1.0] * 3] * 2
        assert seen["flags"].tolist() == [True, True, False, True]
    # rows 0 and 1 lie on rank 0, rows 2 and 3 on rank 1; both ranks use them, with weights 1 and 2
    assert processes[0]["gathered_gradient"].tolist() == [[0.0] * 3, [3.0] * 3]
    assert processes[1]["gathered_gradient"].tolist() == [[6.0] * 3, [9.0] * 3]


def test_the_main_process_speaks(processes):
    assert [seen["object"] for seen in processes] == ["from 0", "from 0"]
    assert [seen["main"] for seen in processes] == [True, False]


if __name__ == "__main__":
    two_ranks.process(of_one_process)
