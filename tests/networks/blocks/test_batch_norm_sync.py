"""Synchronised batch normalisation against PyTorch's, in a group of one process; ``test_scale_distributed.py`` has two."""

import copy

import pytest
import torch
from torch import distributed, nn

from genexp.networks.blocks.normalisation import unsynchronised
from genexp.runs.trainer import CPUBatchNormSync


@pytest.fixture
def group(tmp_path):
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def test_pytorchs_own_becomes_local_again(float64):
    torch.manual_seed(0)
    x = torch.randn(8, 5, 2, 3)
    plain = nn.Sequential(nn.BatchNorm2d(5), nn.Conv2d(5, 4, 2), nn.BatchNorm2d(4))
    network = unsynchronised(nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(plain)))
    assert torch.equal(network(x), plain(x)) and torch.equal(network.eval()(x), plain.eval()(x))
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize(
    ("make", "shape"), [(nn.BatchNorm1d, (8, 5)), (nn.BatchNorm2d, (8, 5, 2, 3))], ids=["1d", "2d"]
)
def test_it_is_batch_normalisation(float64, group, make, shape, affine):
    torch.manual_seed(0)
    plain = nn.Sequential(make(5, momentum=0.3, affine=affine))
    for parameter in plain.parameters():
        nn.init.normal_(parameter)
    synced = CPUBatchNormSync().apply(copy.deepcopy(plain))
    assert type(synced[0]) is not make
    x, weights = torch.randn(shape), torch.randn(shape)
    gradients = []
    for network in (plain, synced):
        inputs = x.clone().requires_grad_()
        (weights * network(inputs)).sum().backward()
        gradients.append(inputs.grad)
    assert torch.allclose(*gradients)
    for one, other in zip(plain.parameters(), synced.parameters(), strict=True):
        assert torch.allclose(one.grad, other.grad)
    for name, value in plain.state_dict().items():
        assert torch.allclose(value, synced.state_dict()[name]), name
    assert torch.allclose(plain(x), synced(x))
    assert type(CPUBatchNormSync().revert(synced)[0]) is make
    assert torch.allclose(plain.eval()(x), synced.eval()(x))
