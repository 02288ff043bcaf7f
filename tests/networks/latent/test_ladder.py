"""Encoder and decoder of the hierarchical VAE: shapes, who sees whom, initial sizes."""

import pytest
import torch

from genexp.networks.latent.ladder import BottomUp, TopDown, grid_sides


def networks(shape=(1, 8, 8), reductions=(None, 4, 2), num_classes=0, num_params=2, blocks=(1, 2, 1)):
    torch.manual_seed(0)
    common = {"shape": shape, "sides": grid_sides(shape, reductions), "channels": 6, "bottleneck": 3, "blocks": blocks}
    return BottomUp(**common), TopDown(num_params=num_params, num_classes=num_classes, latent_channels=2, **common)


@pytest.mark.parametrize(
    ("shape", "reductions", "sides"),
    [
        ((1, 8, 8), (None, 4, 2), [1, 2, 4]),
        ((1, 28, 28), (None, 4, 2, 1), [1, 7, 14, 28]),
        ((3, 32, 32), (None, 8, 4, 2, 1), [1, 4, 8, 16, 32]),
        ((4, 8, 8), (2,), [4]),
    ],
)
def test_shapes(shape, reductions, sides):
    encoder, decoder = networks(shape, reductions, num_classes=3, blocks=[2] * len(sides))
    features = encoder(torch.rand(5, *shape))
    assert [f.shape for f in features] == [(5, 6, side, side) for side in sides]
    assert decoder.latent_shapes == [(2, side, side) for side in sides for _ in range(2)]
    eps = [torch.randn(5, *latent) for latent in decoder.latent_shapes]
    for given in (features, None):
        params, groups = decoder(given, torch.arange(5) % 3, eps)
        assert params.shape == (5, 2, *shape) and len(groups) == len(eps)
        for group, e in zip(groups, eps, strict=True):
            assert all(part.shape == e.shape for part in group if part is not None)
            assert (group.mean is None) == (group.log_std is None) == (given is None)
            mean, log_std = (group.prior_mean, group.prior_log_std) if given is None else (group.mean, group.log_std)
            assert torch.allclose(group.z, mean + log_std.exp() * e) and group.prior_log_std.abs().max() < 5


@pytest.mark.parametrize(
    ("shape", "reductions", "line"),
    [
        ((8,), (None,), r"data.shape=\[8\].*square"),
        ((1, 8, 4), (None,), r"data.shape=\[1, 8, 4\].*square"),
        ((1, 28, 28), (None, 8), r"reductions=\[None, 8\].*divisor of 28"),
        ((1, 8, 8), (), r"reductions=\[\].*at least one"),
        ((1, 8, 8), (0,), r"reductions=\[0\].*divisor"),
        ((1, 8, 8), (2, 4), r"reductions=\[2, 4\].*sides \[4, 2\] must grow"),
        ((1, 8, 8), (None, 8), r"sides \[1, 1\] must grow"),
        ((1, 12, 12), (4, 3, 2), r"sides \[3, 4, 6\] must grow"),
    ],
)
def test_grids_that_do_not_fit_are_refused(shape, reductions, line):
    with pytest.raises(ValueError, match=line):
        grid_sides(shape, reductions)


@pytest.mark.parametrize(("change", "line"), [((1, 2), r"blocks=\[1, 2\].* 3 numbers"), ((1, 0, 1), "at least 1")])
def test_every_grid_has_blocks(change, line):
    with pytest.raises(ValueError, match=line):
        networks(blocks=change)


def test_a_group_depends_on_those_above_it_and_on_its_own_example(float64):
    """Prior and posterior of group g: on the draws of the groups before it, never on its own or on later ones."""
    encoder, decoder = (network.double() for network in networks())
    eps = [torch.randn(2, *latent).requires_grad_() for latent in decoder.latent_shapes]
    features = [f.detach().requires_grad_() for f in encoder(torch.rand(2, 1, 8, 8))]
    _, groups = decoder(features, None, eps)
    grids = [0, 1, 1, 2]
    for i, group in enumerate(groups):
        for of, sees in ((group.prior_mean, False), (group.log_std, True)):
            target = of[0].square().sum()
            gradients = torch.autograd.grad(target, [*eps, *features], retain_graph=True, allow_unused=True)
            on_eps = [g is not None and bool(g.any()) for g in gradients[: len(eps)]]
            assert on_eps == [j < i for j in range(len(eps))]
            on_features = [g is not None and bool(g[0].any()) for g in gradients[len(eps) :]]
            expected = [grid < grids[i] or (grid == grids[i] and (sees or grids.index(grid) < i)) for grid in range(3)]
            assert on_features == expected
            assert not any(g[1].any() for g in gradients if g is not None)


def test_the_label_enters_every_block():
    encoder, decoder = networks(num_classes=3)
    features = encoder(torch.rand(1, 1, 8, 8))
    for block, grid in zip(decoder.blocks, (0, 1, 1, 2), strict=True):
        h, eps = torch.randn(1, 6, *block.latent_shape[1:]), torch.zeros(1, *block.latent_shape)
        zero, one = (block(h, features[grid], torch.tensor([y]), eps) for y in (0, 1))
        assert not any(torch.equal(a, b) for a, b in zip(zero, one, strict=True))


def test_what_is_added_starts_small_in_deep_networks():
    """1 / sqrt(N) of what PyTorch makes it, for N blocks."""
    wide = 4
    for n in (1, 16):
        encoder, decoder = networks(reductions=(2,), blocks=(n,))
        entering = [block.residual[-1] for block in (*encoder.blocks, *decoder.blocks)]
        entering += [block.prior[-1] for block in decoder.blocks]
        largest = torch.cat([layer.weight.detach().flatten() for layer in entering]).abs().max()
        assert 0.9 * (3 * n) ** -0.5 < largest <= (3 * n) ** -0.5
        largest = max(block.take_up.weight.detach().abs().max() for block in decoder.blocks)
        assert 0.7 * (2 * n) ** -0.5 < largest <= (2 * n) ** -0.5
        assert max(block.posterior[-1].weight.abs().max() for block in decoder.blocks) > 0.9 * 3**-0.5
    assert decoder.latent_shapes == [(2, wide, wide)] * 16
