import pytest
import torch
import torch.distributed as dist

from medvol import distributed


@pytest.fixture
def group_of_one(tmp_path):
    """A real process group with this process alone, so that the collectives run."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    yield
    distributed.finalize()


def test_single_process_needs_no_group():
    assert (distributed.rank(), distributed.world_size(), distributed.is_main()) == (0, 1, True)
    distributed.barrier()
    assert distributed.broadcast_object({"a": 1}) == {"a": 1}
    distributed.finalize()


def test_gather_is_the_identity_with_gradient():
    x = torch.randn(3, 2, requires_grad=True)
    assert distributed.gather(x) is x


def test_all_sum_is_detached():
    x = torch.randn(3, requires_grad=True)
    total = distributed.all_sum(x * 2)
    assert torch.equal(total, x.detach() * 2)
    assert not total.requires_grad


@pytest.mark.usefixtures("group_of_one")
def test_in_a_group_of_one():
    assert (distributed.rank(), distributed.world_size()) == (0, 1)
    distributed.initialize()  # there is a group already: nothing happens
    distributed.barrier()
    x = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    gathered = distributed._Gather.apply(x)
    weight = torch.randn(3, 2, dtype=torch.float64)
    (gathered * weight).sum().backward()
    assert torch.equal(gathered, x)
    assert torch.equal(x.grad, weight)


def test_finalize_leaves_the_group(tmp_path):
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    distributed.finalize()
    assert not dist.is_initialized()


def test_initialize_alone_does_nothing(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "1")
    distributed.initialize()
    assert not dist.is_initialized()


@pytest.mark.parametrize("value", ["two", "0", ""])
def test_initialize_refuses_a_strange_world(monkeypatch, value):
    monkeypatch.setenv("WORLD_SIZE", value)
    with pytest.raises(ValueError, match="WORLD_SIZE"):
        distributed.initialize()


def test_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert distributed.device() == torch.device("cpu")
    assert distributed.device("cpu") == torch.device("cpu")
    with pytest.raises(ValueError, match="expected a CUDA device for 'cuda:1', found none"):
        distributed.device("cuda:1")
    with pytest.raises(ValueError, match="found 'graphics'; correct the name"):
        distributed.device("graphics")


def test_device_of_a_local_rank(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert distributed.device() == torch.device("cuda", 1)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ValueError, match="LOCAL_RANK below the 2 CUDA devices"):
        distributed.device()


def test_bfloat16_units_are_named(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    assert distributed.bfloat16_units(torch.device("cpu")) == ("AVX512-BF16",)
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")
    assert distributed.bfloat16_units(torch.device("cpu")) == ()
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    assert distributed.bfloat16_units(torch.device("cuda")) == ()
