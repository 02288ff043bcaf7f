import math
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from genexp.networks.adversarial.resnet_gan import DownBlock, ResNetDiscriminator, ResNetGenerator, UpBlock
from genexp.networks.blocks.base import Block
from genexp.networks.blocks.conditional_norm import ConditionalBatchNorm

SIDES = [8, 16, 28, 32, 48, 64]


def make_generator(shape=(1, 8, 8), **changes):
    sizes = {"levels": 256, "latent_dim": 5, "num_classes": 0, "channels": 4, "conditional_batch_norm": False}
    sizes |= {"spectral_norm": False, "initialisation": None, "block_initialisation": None}
    torch.manual_seed(0)
    return ResNetGenerator(shape=shape, **sizes | changes)


def make_discriminator(shape=(1, 8, 8), **changes):
    sizes = {"num_classes": 0, "num_outputs": 1, "channels": 4, "down_blocks": 2, "plain_blocks": 2}
    sizes |= {"sum_pooling": True, "projection": False, "spectral_norm": False}
    sizes |= {"initialisation": None, "block_initialisation": None}
    torch.manual_seed(0)
    return ResNetDiscriminator(shape=shape, **sizes | changes)


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("num_classes", [0, 3])
@pytest.mark.parametrize("side", SIDES)
def test_shapes(side, num_classes, conditional):
    shape, z, y = (3, side, side), torch.randn(2, 5), torch.tensor([0, 2]) if num_classes else None
    generator = make_generator(shape, num_classes=num_classes, conditional_batch_norm=conditional)
    image = generator(z, y)
    assert image.shape == (2, *shape) and image.abs().max() <= 1
    discriminator = make_discriminator(shape, num_classes=num_classes, projection=conditional)
    assert discriminator(image, y).shape == (2, 1)
    assert image.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("spectral_norm", [False, True])
@pytest.mark.parametrize("conditional", [False, True])
def test_every_part_of_the_generator_counts(conditional, spectral_norm):
    """Every parameter gets a gradient, the label moves every image, every element of z every pixel."""
    generator = make_generator(num_classes=3, conditional_batch_norm=conditional, spectral_norm=spectral_norm)
    for layer in generator.modules():
        if isinstance(layer, ConditionalBatchNorm):
            nn.init.normal_(layer.gain)
    z, y = torch.randn(6, 5), torch.arange(6) % 3
    (generator(z, y) * torch.randn(6, 1, 8, 8)).sum().backward()
    assert all(p.grad.any() for p in generator.parameters())
    generator.eval()
    image = generator(z, y)
    assert (generator(z, (y + 1) % 3) != image).flatten(1).any(1).all()
    for step in 3 * torch.eye(5):
        assert (generator(z + step, y) != image).float().mean() > 0.99


def test_the_blocks_by_hand(float64):
    """As the papers' code has them, the 1x1 convolutions at the finer resolution."""
    torch.manual_seed(0)
    x = torch.randn(3, 4, 6, 6)
    block = UpBlock(4, 0)
    norm1, _, _, conv1, norm2, _, conv2 = block.layers
    h = conv1(F.interpolate(norm1(x).relu(), scale_factor=2, mode="nearest"))
    h = conv2(norm2(h).relu())
    assert torch.allclose(block(x, None), h + block.shortcut[0](F.interpolate(x, scale_factor=2, mode="nearest")))
    assert (norm1.bias is not None) and conv1.bias is None

    for first in (True, False):
        block = DownBlock(4, 5, first)
        _, conv1, _, conv2, _ = block.layers
        h = F.avg_pool2d(conv2(conv1(x if first else x.relu()).relu()), 2)
        assert torch.allclose(block(x), h + F.avg_pool2d(block.shortcut[1](x), 2))


def test_the_networks_of_the_paper_block_by_block():
    """Miyato et al. 2018, table 4: G 4x4x256, three blocks up; D two blocks down, two plain, of 128."""
    generator = make_generator((3, 32, 32), latent_dim=128, channels=256)
    up = 2 * (256 + 256) + 2 * 256 * 256 * 9 + 256 + 256 * 256 + 256
    dense, output = 128 * 4096 + 4096, 2 * 256 + 256 * 3 * 9 + 3
    assert sum(p.numel() for p in generator.parameters()) == dense + 3 * up + output
    discriminator = make_discriminator((3, 32, 32), channels=128)
    conv3, conv1 = 128 * 128 * 9 + 128, 128 * 128 + 128
    first = (3 * 128 * 9 + 128) + conv3 + (3 * 128 + 128)
    assert sum(p.numel() for p in discriminator.parameters()) == first + (2 * conv3 + conv1) + 4 * conv3 + 128 + 1
    assert [type(block) for block in discriminator.blocks[:2]] == [DownBlock, DownBlock]
    assert all(isinstance(block, Block) for block in [*generator.blocks, *discriminator.blocks[:-1]])


@pytest.mark.parametrize("side", SIDES)
def test_sum_and_mean_pooling(float64, side):
    """The sum is the mean over the places that are left, S^2 / 16 after two halvings, times their number."""
    x = torch.rand(2, 1, side, side)
    total, mean = make_discriminator((1, side, side)), make_discriminator((1, side, side), sum_pooling=False)
    assert torch.allclose(total(x) - total.output.bias, (mean(x) - mean.output.bias) * side**2 / 16)


def test_initialisation_of_blocks_and_the_rest():
    """Glorot's bounds sqrt(6 / (inputs + outputs)), in the blocks' 3x3 convolutions sqrt(2) as large; biases zero."""
    glorot = nn.init.xavier_uniform_
    for network in (
        make_generator(initialisation=glorot, block_initialisation=partial(glorot, gain=2**0.5), channels=16),
        make_discriminator(initialisation=glorot, block_initialisation=partial(glorot, gain=2**0.5), channels=16),
    ):
        inside = {p for block in network.modules() if isinstance(block, Block) for p in block.layers.parameters()}
        for name, p in network.named_parameters():
            if p.ndim > 1:
                places = math.prod(p.shape[2:])
                bound = (6 / (p.shape[0] * places + p.shape[1] * places)) ** 0.5 * (2**0.5 if p in inside else 1)
                assert 0.7 * bound < p.abs().max().item() <= bound * (1 + 1e-6), name
            elif name.endswith("bias"):
                assert not p.any()


@pytest.mark.parametrize(
    ("make", "changes", "message"),
    [
        (make_generator, {"levels": None}, "model=gan"),
        (make_generator, {"channels": 0}, "channels=0"),
        (make_generator, {"shape": (1, 9, 9)}, r"data\.shape="),
        (make_discriminator, {"channels": 0}, "channels=0"),
        (make_discriminator, {"down_blocks": 0}, "down_blocks=0"),
        (make_discriminator, {"plain_blocks": -1}, "plain_blocks=-1"),
        (make_discriminator, {"shape": (1, 28, 28), "down_blocks": 3}, r"data\.shape=.*down_blocks=3"),
        (make_discriminator, {"shape": (180,)}, r"data\.shape=\[180\]"),
    ],
)
def test_impossible_networks_are_refused(make, changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)
