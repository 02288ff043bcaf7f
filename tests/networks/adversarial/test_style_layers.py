import pytest
import torch
from torch.nn import functional as F

from genexp.networks.adversarial.style_layers import (
    EqualisedConv2d,
    EqualisedLinear,
    ModulatedConv2d,
    StyledConv,
    activate,
    blur,
    double,
    style_widths,
    unit_rms,
)


@pytest.mark.parametrize(
    ("side", "expected"),
    [
        (8, ([4, 8], 4)),
        (16, ([4, 8, 16], 4)),
        (28, ([4, 8, 16], 7)),
        (32, ([4, 8, 16, 20], 4)),
        (48, ([4, 8, 16, 20], 6)),
        (64, ([4, 8, 16, 20, 20], 4)),
    ],
)
def test_channels_double_up_to_their_maximum(side, expected):
    assert style_widths((3, side, side), 4, 20) == expected


# --- equalised learning rate ----------------------------------------------------------------------------


def test_equalised_layers_keep_the_variance():
    torch.manual_seed(0)
    assert EqualisedLinear(400, 500)(torch.randn(500, 400)).var().item() == pytest.approx(1, rel=0.02)
    assert EqualisedConv2d(50, 60, 3)(torch.randn(8, 50, 16, 16)).var().item() == pytest.approx(1, rel=0.05)


def test_equalised_layers_are_ordinary_ones_with_scaled_weights(float64):
    torch.manual_seed(0)
    x, layer = torch.randn(2, 3, 8, 8), EqualisedConv2d(3, 4, 3, stride=2, padding=1)
    torch.nn.init.normal_(layer.bias)
    assert torch.allclose(layer(x), F.conv2d(x, layer.weight / 27**0.5, layer.bias, stride=2, padding=1))
    assert EqualisedConv2d(3, 4, 1, bias=False)(torch.zeros(1, 3, 2, 2)).eq(0).all()
    layer = EqualisedLinear(8, 4, bias=0.5)
    assert torch.allclose(layer(x[0]), x[0] @ layer.weight.T / 8**0.5 + 0.5)


def test_the_multiplier_changes_how_fast_a_layer_learns_and_not_where_it_starts(float64):
    x = torch.randn(5, 7)
    outputs, gradients = [], []
    for multiplier in (1, 0.01):
        torch.manual_seed(0)
        layer = EqualisedLinear(7, 3, bias=2, multiplier=multiplier)
        outputs.append(layer(x))
        gradients.append(torch.autograd.grad(outputs[-1].square().sum(), list(layer.parameters())))
    assert torch.allclose(*outputs)
    for plain, slow in zip(*gradients, strict=True):
        assert torch.allclose(0.01 * plain, slow)


def test_the_second_moment_of_normal_values(float64):
    torch.manual_seed(0)
    x = torch.randn(1_000_000)
    assert activate(x).square().mean().item() == pytest.approx(1 + 0.2**2, rel=0.01)
    assert torch.allclose(unit_rms(3 * x.view(1000, 1000)).square().mean(1), torch.ones(1000))


# --- resampling -----------------------------------------------------------------------------------------


def test_blur_has_the_binomial_filter(float64):
    x = torch.zeros(2, 3, 9, 9)
    x[1, 2, 4, 4] = 64
    line = torch.tensor([1.0, 3, 3, 1])
    expected = torch.zeros(2, 3, 8, 8)
    expected[1, 2, 2:6, 2:6] = line[:, None] * line
    assert torch.equal(blur(x, padding=1), expected)
    assert torch.equal(blur(x, padding=1, stride=2), expected[:, :, ::2, ::2])
    assert torch.equal(blur(x, padding=1, gain=4), 4 * expected)


def test_constants_survive_resampling(float64):
    """But near the border of what zeros surround."""
    x = torch.tensor([2.0, -3.0])[None, :, None, None].expand(1, 2, 8, 8)
    large = double(x)
    assert large.shape == (1, 2, 16, 16) and torch.allclose(large, x.repeat(1, 1, 2, 2))
    small = blur(large, padding=1, stride=2)
    assert small.shape == x.shape and torch.allclose(small[..., 1:-1, 1:-1], x[..., 1:-1, 1:-1])
    assert small[..., 0, 0].abs().lt(x[..., 0, 0].abs()).all()
    assert torch.allclose(blur(x, padding=0), x[..., :5, :5])


def test_double_is_the_binomial_filter_on_an_image_with_zeros_between(float64):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 5, 5)
    spread = torch.zeros(2, 3, 10, 10)
    spread[..., ::2, ::2] = x
    filtered = blur(F.pad(spread, (2, 1, 2, 1)), padding=0, gain=4)
    assert torch.allclose(double(x)[..., 1:-1, 1:-1], filtered[..., 1:-1, 1:-1])


# --- modulation -----------------------------------------------------------------------------------------


def kernels(layer, w, demodulate):
    """w'' of equations 1 to 3, or w', for every example by itself."""
    made = []
    for style in w @ layer.affine.weight.T / layer.affine.weight.shape[1] ** 0.5 + layer.affine.bias:
        kernel = layer.weight / layer.weight[0].numel() ** 0.5 * style[None, :, None, None]
        if demodulate:
            kernel = kernel / (kernel**2).sum((1, 2, 3), keepdim=True).add(1e-8).sqrt()
        made.append(kernel)
    return made


@pytest.mark.parametrize(("kernel", "demodulate"), [(3, True), (3, False), (1, False)])
def test_modulated_convolution_equals_a_kernel_for_each_example(kernel, demodulate, float64):
    torch.manual_seed(0)
    layer = ModulatedConv2d(5, 4, 6, kernel=kernel, demodulate=demodulate, up=False)
    torch.nn.init.normal_(layer.bias)
    x, w = torch.randn(3, 5, 8, 8), torch.randn(3, 6)
    expected = [
        F.conv2d(one[None], k, layer.bias, padding=kernel // 2)
        for one, k in zip(x, kernels(layer, w, demodulate), strict=True)
    ]
    assert torch.allclose(layer(x, w), torch.cat(expected))


def test_up_sampling_convolution_equals_a_convolution_with_zeros_between(float64):
    torch.manual_seed(0)
    layer = ModulatedConv2d(5, 4, 6, kernel=3, demodulate=True, up=True)
    torch.nn.init.normal_(layer.bias)
    x, w = torch.randn(3, 5, 7, 7), torch.randn(3, 6)
    spread = torch.zeros(3, 5, 13, 13)
    spread[..., ::2, ::2] = x
    expected = [
        blur(F.conv2d(one[None], k.flip(2, 3), padding=2), padding=1, gain=4)
        for one, k in zip(spread, kernels(layer, w, True), strict=True)
    ]
    expected = torch.cat(expected) + layer.bias[:, None, None]
    assert expected.shape == (3, 4, 14, 14) and torch.allclose(layer(x, w), expected)


def test_demodulation_gives_unit_variance():
    torch.manual_seed(0)
    x, w = torch.randn(4, 6, 128, 128), 2 * torch.randn(4, 5)
    for demodulate in (True, False):
        torch.manual_seed(1)
        layer = ModulatedConv2d(6, 8, 5, kernel=3, demodulate=demodulate, up=False)
        var = layer(x, w)[..., 1:-1, 1:-1].var((2, 3))
        expected = torch.ones(4, 8)
        if not demodulate:
            expected = torch.stack([k.square().sum((1, 2, 3)) for k in kernels(layer, w, False)])
            assert expected.max() > 2 * expected.min()
        assert torch.allclose(var, expected, rtol=0.1)


def test_noise_is_one_draw_for_the_channels_of_a_pixel(float64):
    torch.manual_seed(0)
    layer, x, w = StyledConv(3, 4, 5, up=True), torch.randn(2, 3, 4, 4), torch.randn(2, 5)
    plain = layer.conv(x, w)
    assert torch.equal(layer(x, w, noise=True), activate(plain))  # strength 0 at first
    torch.nn.init.constant_(layer.noise_strength, 0.7)
    assert torch.equal(layer(x, w, noise=False), activate(plain))
    torch.manual_seed(1)
    noisy = layer(x, w, noise=True)
    torch.manual_seed(1)
    assert torch.allclose(noisy, activate(plain + 0.7 * torch.randn(2, 1, 8, 8)))


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="multiplier=0"):
        EqualisedLinear(2, 2, multiplier=0)
    with pytest.raises(ValueError, match="max_channels=3: must be at least channels=4"):
        style_widths((1, 8, 8), 4, 3)
    with pytest.raises(ValueError, match="channels=0"):
        style_widths((1, 8, 8), 0, 3)
    with pytest.raises(ValueError, match="square images"):
        style_widths((1, 9, 9), 4, 8)
