"""Causality of the network of an inverse autoregressive flow, by gradient on both sides."""

import pytest
import torch

from genexp.networks.latent.iaf_made import ContextMADE


def make(dims, hidden=(12, 12), context_dim=3, mask_seed=None):
    torch.manual_seed(0)
    network = ContextMADE(
        dims=dims,
        num_params=2,
        context_dim=context_dim,
        hidden=hidden,
        activation=torch.nn.Softplus(),
        mask_seed=mask_seed,
        initialisation=torch.nn.init.normal_,
    )
    for layer in network.layers:
        torch.nn.init.normal_(layer.bias)
    return network


@pytest.mark.parametrize("dims", [1, 2, 6, 30])
@pytest.mark.parametrize("mask_seed", [None, 0])
@pytest.mark.parametrize("hidden", [(400,), (400, 400)], ids=str)
def test_an_output_depends_on_earlier_inputs_and_on_the_context_only(float64, dims, hidden, mask_seed):
    network = make(dims, hidden, mask_seed=mask_seed)
    z, context = 0.1 * torch.randn(2, 2, dims), 0.1 * torch.randn(2, 3)
    of_z, of_context = torch.autograd.functional.jacobian(network, (z, context))
    assert of_z.shape == (2, 2, 2, dims, 2, 2, dims)
    wanted = torch.ones(dims, dims).tril(-1).bool()
    for k in range(2):
        for b in range(2):
            for p in range(2):
                moved = of_z[k, b, p] != 0  # (D, k, B, D)
                assert torch.equal(moved[:, k, b], wanted) and moved.sum() == wanted.sum()
                assert (of_context[k, b, p, 1 if dims > 1 else 0 :, b] != 0).all() or dims == 1
                assert not of_context[k, b, p, :, 1 - b].any()


def test_masks_are_no_part_of_the_state():
    assert not [name for name in make(4).state_dict() if "mask" in name]


def test_degrees_are_drawn_with_their_seed():
    even, first, again, second = (make(30, mask_seed=seed).mask_1 for seed in (None, 0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, second)
    assert torch.equal(even, torch.ones_like(even).tril()) and not torch.equal(first, even)
