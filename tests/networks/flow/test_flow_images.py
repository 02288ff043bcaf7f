"""Every bijection of images: its inverse, its determinant against autograd's and against the formulas of the papers."""

from functools import partial

import pytest
import torch

from genexp.families.dequantised import DequantisedFlow
from genexp.families.flow import Flow
from genexp.networks.flow.convolutional import LinearNetwork, ResidualNetwork, ShallowNetwork
from genexp.networks.flow.images import ChannelCoupling, GlowSteps, MultiScale, RealNVPSteps, SplitPrior
from genexp.probability.dequantisation import UniformDequantisation
from genexp.probability.transforms.bounded_affine import SigmoidAffine, TanhAffine
from genexp.probability.transforms.images import ActNorm, InvertibleConvolution, Squeeze
from genexp.probability.transforms.sources import NormalSource
from genexp.probability.transforms.univariate import Additive, Spline

pytestmark = pytest.mark.usefixtures("float64")

TANH = partial(TanhAffine, initial_range=2.0)
SIGMOID = partial(SigmoidAffine, offset=2.0)
SPLINE = partial(Spline, bins=5, bound=3.0, slope=1e-3)
SHALLOW = partial(ShallowNetwork, width=4)
RESIDUAL = partial(ResidualNetwork, width=4, blocks=1)
SPLIT = partial(SplitPrior, univariate=TANH, network=LinearNetwork)
GLOW = partial(GlowSteps, depth=2, univariate=SIGMOID, network=SHALLOW)
STEPS = {
    "glow": GLOW,
    "glow-spline": partial(GLOW, univariate=SPLINE),
    "glow-additive": partial(GLOW, univariate=Additive),
    "realnvp": partial(RealNVPSteps, checkerboards=2, channels=2, univariate=TANH, network=RESIDUAL),
}
MAPS = {
    "squeeze": lambda shape, context_dim: Squeeze(shape),
    "actnorm": lambda shape, context_dim: ActNorm(shape),
    "convolution": lambda shape, context_dim: InvertibleConvolution(shape),
    "split": lambda shape, context_dim: SPLIT(shape=shape, context_dim=context_dim),
} | {name: lambda shape, context_dim, s=steps: s(shape=shape, context_dim=context_dim) for name, steps in STEPS.items()}
WHOLE = {
    f"{name}-{'one' if prior is None else 'two'}-scales": partial(
        MultiScale, scales=1 if prior is None else 2, steps=steps, split_prior=prior
    )
    for name, steps in STEPS.items()
    for prior in (None, SPLIT)
} | {"realnvp-independent": partial(MultiScale, scales=2, steps=STEPS["realnvp"], split_prior=None)}
CASES = {name: (make, (4, 2, 4)) for name, make in MAPS.items()}
CASES |= {name: (make, (1, 4, 4)) for name, make in WHOLE.items()}


def examples(n, shape, context_dim, scale=1.0):
    torch.manual_seed(1)
    x = scale * torch.randn(n, *shape) + torch.linspace(-2, 2, shape[0])[:, None, None]
    context = torch.eye(context_dim)[torch.arange(n) % context_dim] if context_dim else None
    return x, context


def enlarged(bijection, size=0.3):
    """With weights far from those at the beginning, but for what the map is already."""
    torch.manual_seed(0)
    for p in bijection.parameters():
        p.data += size * torch.randn_like(p)
    return bijection


def made(name, context_dim=0):
    make, shape = CASES[name]
    bijection = enlarged(make(shape=shape, context_dim=context_dim))
    bijection.initialise(*examples(50, shape, context_dim, scale=3.0))
    return bijection, shape


@pytest.mark.parametrize("context_dim", [0, 2])
@pytest.mark.parametrize("name", CASES)
def test_inverse_and_determinant_after_a_look_at_data_in_the_middle_and_in_the_tails(name, context_dim):
    bijection, shape = made(name, context_dim)
    x, context = examples(3, shape, context_dim)
    x[2] *= 10
    z, log_det = bijection(x, context)
    assert z.shape == (3, *bijection.latent_shape) and log_det.shape == (3,)
    for i in range(3):
        c = None if context is None else context[i : i + 1]
        jacobian = torch.autograd.functional.jacobian(lambda row, c=c: bijection(row[None], c)[0].flatten(), x[i])
        wanted = torch.linalg.slogdet(jacobian.reshape(z[0].numel(), -1)).logabsdet
        torch.testing.assert_close(log_det[i], wanted, atol=1e-8, rtol=1e-8)
    torch.testing.assert_close(bijection.inverse(z, context), x, atol=1e-7, rtol=1e-7)
    if context is not None and "network" in str([n for n, _ in bijection.named_modules()]):
        assert (bijection(x, context.roll(1, 1))[0] - z).abs().amax() > 1e-3


@pytest.mark.parametrize("name", WHOLE)
def test_an_image_does_not_depend_on_the_others_in_its_batch(name):
    bijection, shape = made(name)
    x, _ = examples(4, shape, 0)
    z, log_det = bijection.train()(x)
    torch.testing.assert_close(bijection(x[1:2])[0], z[1:2])
    torch.testing.assert_close(bijection(x[1:2])[1], log_det[1:2])


def test_one_look_gives_every_channel_mean_zero_and_sd_one_before_each_coupling():
    steps = enlarged(STEPS["glow"](shape=(4, 2, 4), context_dim=0))
    x, _ = examples(60, (4, 2, 4), 0, scale=5.0)
    end = steps.initialise(x, None)
    torch.testing.assert_close(steps(x)[0], end)
    for part in steps.parts:
        x = part(x)[0]
        if isinstance(part, ActNorm):
            assert x.mean((0, 2, 3)).abs().max() < 1e-12
            assert (x.std((0, 2, 3), correction=0) - 1).abs().max() < 1e-12
    constant = ActNorm((1, 2, 2))
    constant.initialise(torch.full((3, 1, 2, 2), 7.0), None)
    assert constant.log_scale.item() == 0 and constant.bias.item() == -7
    assert (
        "scales.0.parts.1.parts.0.bias"
        in MultiScale(shape=(1, 4, 4), context_dim=0, scales=1, steps=GLOW, split_prior=None).state_dict()
    )


def test_a_step_of_glow_equals_its_formulas():
    """Kingma & Dhariwal 2018, table 1, written out for every pixel."""
    steps = enlarged(GlowSteps(shape=(4, 2, 3), context_dim=0, depth=1, univariate=SIGMOID, network=SHALLOW))
    x, _ = examples(2, (4, 2, 3), 0)
    actnorm, convolution, coupling = steps.parts
    scale = actnorm.log_scale.exp()
    h = scale * x + scale * actnorm.bias
    lower, upper = convolution.triangles.tril(-1) + torch.eye(4), convolution.triangles.triu(1)
    weight = convolution.permutation @ lower @ (upper + torch.diag(convolution.signs * convolution.log_diagonal.exp()))
    mixed = torch.zeros_like(h)
    for i in range(2):
        for j in range(3):
            mixed[:, :, i, j] = h[:, :, i, j] @ weight.t()
    kept, moved = mixed[:, :2], mixed[:, 2:]
    out = coupling.network(kept, None)
    shift, slope = out[:, 0::2], torch.sigmoid(out[:, 1::2] + 2)
    z = torch.cat([kept, (moved + shift) * slope], 1)
    log_det = 6 * scale.log().sum() + 6 * torch.linalg.slogdet(weight).logabsdet + slope.log().sum((1, 2, 3))
    torch.testing.assert_close(steps(x)[0], z)
    torch.testing.assert_close(steps(x)[1], log_det)


@pytest.mark.parametrize("first", [True, False])
def test_a_coupling_of_real_nvp_equals_its_formula_with_a_checkerboard(first):
    """Dinh et al. 2017, equation 9, y = b x + (1 - b)(x exp(s(b x)) + t(b x)), with the mask b of pixels."""
    steps = enlarged(
        RealNVPSteps(shape=(4, 2, 2), context_dim=0, checkerboards=2, channels=1, univariate=TANH, network=RESIDUAL)
    )
    coupling = steps.parts[1 if first else 3]
    squeeze = Squeeze((1, 4, 4))
    x, _ = examples(3, (1, 4, 4), 0)
    rows, columns = torch.meshgrid(torch.arange(4), torch.arange(4), indexing="ij")
    b = ((rows + columns) % 2 == (1 if first else 0)).double()
    seen = squeeze(b * x)[0][:, coupling.kept]
    out = coupling.network(seen, None)
    log_slope = torch.zeros(3, 4, 2, 2)
    shift = torch.zeros(3, 4, 2, 2)
    shift[:, coupling.moved], log_slope[:, coupling.moved] = (
        out[:, 0::2],
        coupling.univariate.range * out[:, 1::2].tanh(),
    )
    s, t = squeeze.inverse(log_slope), squeeze.inverse(shift)
    z, log_det = coupling(squeeze(x)[0])
    torch.testing.assert_close(squeeze.inverse(z), b * x + (1 - b) * (x * s.exp() + t))
    torch.testing.assert_close(log_det, ((1 - b) * s).sum((1, 2, 3)))


def test_masks_take_turns_so_that_every_channel_is_moved_in_two_couplings():
    steps = RealNVPSteps(shape=(8, 2, 2), context_dim=0, checkerboards=2, channels=2, univariate=TANH, network=RESIDUAL)
    kept = [set(part.kept.tolist()) for part in steps.parts if isinstance(part, ChannelCoupling)]
    assert kept == [{1, 2, 5, 6}, {0, 3, 4, 7}, {0, 1, 2, 3}, {4, 5, 6, 7}]


def test_slopes_are_bounded():
    x, far = torch.ones(5), torch.tensor([-1e6, -1.0, 0.0, 1.0, 1e6])
    log_slopes = TanhAffine(2.0)(far, far).call_and_ladj(x)[1]
    assert log_slopes.abs().max() <= 2 and log_slopes[2] == 0
    assert SigmoidAffine(2.0)(far, far).call_and_ladj(x)[1].max() <= 0


def test_the_convolution_keeps_the_signs_and_the_permutation_with_which_it_began():
    torch.manual_seed(3)
    convolution = InvertibleConvolution((6, 2, 2))
    lower, upper = convolution.factors()
    weight = convolution.permutation @ lower @ upper
    torch.testing.assert_close(weight @ weight.t(), torch.eye(6))
    assert convolution(torch.randn(2, 6, 2, 2))[1].abs().max() < 1e-12
    trained = {name for name, _ in convolution.named_parameters()}
    assert trained == {"log_diagonal", "triangles"}
    assert {"permutation", "signs"} <= convolution.state_dict().keys()


@pytest.mark.parametrize("name", ["glow-one-scales", "glow-spline-one-scales", "realnvp-one-scales"])
@torch.no_grad()
def test_probabilities_of_all_images_sum_to_one_given_each_label(name, all_examples):
    density = partial(Flow, transform=WHOLE[name], source=NormalSource, standardise=False, initial_examples=16)
    settings = {"dequantisation": UniformDequantisation, "logit_alpha": 1e-6, "chunk": 100_000}
    model = DequantisedFlow(density=density, **settings, shape=(1, 2, 2), levels=2, num_classes=3, conditional=True)
    enlarged(model, 0.1)
    x = all_examples((1, 2, 2), 2)
    model.initialise(x, torch.arange(16) % 3)
    torch.manual_seed(0)
    for label in range(3):
        total = model.bound(x, torch.full((16,), label), k=1_500).exp().sum().item()
        assert total == pytest.approx(1, abs=0.05)


def test_what_is_no_image_or_has_sides_that_cannot_be_halved_is_refused():
    make = partial(MultiScale, context_dim=0, steps=GLOW, split_prior=None)
    with pytest.raises(ValueError, match=r"data\.shape=\[64\]: this flow is one of images"):
        make(shape=(64,), scales=1)
    with pytest.raises(ValueError, match=r"data\.shape=\[1, 28, 28\]: to halve the sides 3 times .* multiples of 8"):
        make(shape=(1, 28, 28), scales=3)
    with pytest.raises(ValueError, match="scales=0"):
        make(shape=(1, 4, 4), scales=0)
    with pytest.raises(ValueError, match="depth=0"):
        GLOW(shape=(4, 2, 2), context_dim=0, depth=0)
    with pytest.raises(ValueError, match="initial_range=0"):
        TanhAffine(0)
