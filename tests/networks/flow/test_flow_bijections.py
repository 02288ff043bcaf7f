"""Every bijection of vectors: its inverse, its determinant against autograd's, and densities that integrate to one."""

from math import log

import pytest
import torch
from torch import nn

from genexp.families.flow import Flow
from genexp.networks.flow.chain import Chain
from genexp.networks.flow.incremental import IncrementalInverse
from genexp.networks.flow.layers import MaskedAutoregressiveLayer
from genexp.networks.flow.stack import CouplingStack, InverseAutoregressiveStack, MaskedAutoregressiveStack
from genexp.probability.transforms.base import Composition, Flatten, Inverse
from genexp.probability.transforms.elementwise import Logit, Scale, Standardise, Symmetric
from genexp.probability.transforms.linear import LULinear
from genexp.probability.transforms.sources import LogisticSource, MixtureSource, NormalSource
from genexp.probability.transforms.univariate import Additive, Affine, GaussianMixture1d, MonotonicNetwork, Spline

pytestmark = pytest.mark.usefixtures("float64")

FUNCTIONS = {
    "additive": Additive,
    "affine": lambda: Affine(slope=1e-3),
    "spline": lambda: Spline(bins=5, bound=5.0, slope=1e-3),
    "monotonic": lambda: MonotonicNetwork(signal=4, hidden=[8], reach=1e3),
    "mixture": lambda: GaussianMixture1d(components=3),
}
STACKS = {"maf": MaskedAutoregressiveStack, "iaf": InverseAutoregressiveStack, "coupling": CouplingStack}


def stack(kind, univariate, shape, context_dim=0, **settings):
    settings = {"depth": 2, "hidden": [8, 8], "activation": nn.Tanh(), "linear": False, "order_seed": None} | settings
    return STACKS[kind](shape=shape, context_dim=context_dim, univariate=FUNCTIONS[univariate], **settings)


def enlarged(bijection):
    torch.manual_seed(0)
    for p in bijection.parameters():
        p.data.normal_(0, 0.5)
    return bijection


def vectors(dims, context_dim=0):
    cases = {f"{k}-{u}": stack(k, u, (dims,), context_dim) for k in STACKS for u in FUNCTIONS}
    del cases["iaf-mixture"]  # the inverse of a mixture has no gradient
    cases["lu"] = LULinear((dims,))
    cases["scale"] = Scale(shape=(dims,), context_dim=context_dim)
    cases["maf-lu-orders"] = stack("maf", "affine", (dims,), context_dim, linear=True, order_seed=3)
    cases["coupling-orders"] = stack("coupling", "spline", (dims,), context_dim, order_seed=3)
    return cases


NAMES = sorted(vectors(3))


def jacobian_log_det(bijection, x, context):
    def one(row):
        c = None if context is None else context[:1]
        return bijection(row.view(1, *x.shape[1:]), c)[0].flatten()

    jacobians = [torch.autograd.functional.jacobian(one, row.flatten()) for row in x]
    return torch.stack([torch.linalg.slogdet(j).logabsdet for j in jacobians])


@pytest.mark.parametrize("context_dim", [0, 2])
@pytest.mark.parametrize("name", NAMES)
def test_inverse_and_determinant_in_the_middle_and_in_the_tails(name, context_dim):
    bijection = enlarged(vectors(3, context_dim)[name])
    x = torch.cat([torch.randn(3, 3), torch.tensor([[7.0, -6.0, 5.5], [-12.0, 0.1, 9.0]])])
    if "monotonic" in name or name == "iaf-affine":
        x = x.clamp(-6, 6)  # what is found by bisection, or divided by small slopes again and again, loses digits
    context = torch.randn(1, context_dim).expand(len(x), -1) if context_dim else None
    z, log_det = bijection(x, context)
    assert z.shape == x.shape and log_det.shape == (len(x),)
    wanted = jacobian_log_det(bijection, x, context)
    torch.testing.assert_close(log_det, wanted, atol=1e-7, rtol=1e-6)
    with torch.no_grad():
        back = bijection.inverse(z, context)
    tolerance = 1e-4 if "monotonic" in name else 1e-6
    torch.testing.assert_close(back, x, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("univariate", ["affine", "spline", "monotonic", "mixture"])
@pytest.mark.parametrize("context_dim", [0, 2])
def test_incremental_inverse_equals_one_pass_a_dimension(univariate, context_dim):
    order = torch.tensor([2, 0, 4, 1, 3])
    layer = MaskedAutoregressiveLayer(order, context_dim, FUNCTIONS[univariate](), [7, 9], nn.ReLU())
    enlarged(layer)
    z = torch.randn(6, 5)
    context = torch.randn(6, context_dim) if context_dim else None
    with torch.no_grad():
        slow = layer.lazy(context).inv(z)
        quick = IncrementalInverse(layer.lazy)(z, context)
    torch.testing.assert_close(quick, slow, atol=1e-5 if univariate == "monotonic" else 1e-10, rtol=0)


def test_with_gradients_the_inverse_has_them():
    flow = enlarged(stack("maf", "affine", (3,)))
    z = torch.randn(4, 3)
    x = flow.inverse(z)
    x.sum().backward()
    with torch.no_grad():
        torch.testing.assert_close(flow.inverse(z), x.detach())
    assert all(p.grad is not None for p in flow.parameters())


@pytest.mark.parametrize("make", [lambda: Logit((2, 3), 1e-2), lambda: Symmetric((2, 3)), lambda: Flatten((2, 3))])
def test_elementwise_maps_of_the_unit_interval(make):
    bijection = make()
    x = torch.rand(4, 2, 3)
    x[0, 0, 0], x[0, 0, 1] = 0.0, 1.0
    z, log_det = bijection(x)
    torch.testing.assert_close(log_det, jacobian_log_det(bijection, x, None))
    torch.testing.assert_close(bijection.inverse(z), x)


def test_standardise_takes_mean_and_sd_of_the_data_and_leaves_what_is_constant():
    standardise = Standardise((2, 2))
    x = torch.randn(50, 2, 2) * 3 + 5
    x[:, 0, 1] = 4.0
    z = standardise.initialise(x, None)
    torch.testing.assert_close(z.mean(0), torch.zeros(2, 2), atol=1e-12, rtol=0)
    torch.testing.assert_close(z.std(0, correction=0), torch.tensor([[1.0, 0.0], [1.0, 1.0]]))
    torch.testing.assert_close(standardise(x)[1], jacobian_log_det(standardise, x, None))
    torch.testing.assert_close(standardise.inverse(z), x)


def test_parts_of_a_composition_are_initialised_by_what_the_parts_before_them_give():
    parts = Composition([Flatten((1, 3)), Standardise((3,)), Inverse(LULinear((3,))), Standardise((3,))])
    enlarged(parts)
    x = torch.randn(100, 1, 3) * 4 - 1
    z = parts.initialise(x, None)
    assert z.mean(0).abs().max() < 1e-12 and (z.std(0, correction=0) - 1).abs().max() < 1e-12
    torch.testing.assert_close(parts(x)[0], z)
    with pytest.raises(ValueError, match=r"parts: shape \[3\] goes into one for \[4\]"):
        Composition([Standardise((3,)), Standardise((4,))])


def flow_of(dims, transform, source=NormalSource, standardise=True, **common):
    common = {"shape": (dims,), "levels": None, "num_classes": None, "conditional": False} | common
    return Flow(transform=transform, source=source, standardise=standardise, initial_examples=None, **common)


def spread(flow, univariate, size=1.0):
    torch.manual_seed(1)
    for p in flow.parameters():
        p.data.normal_(0, size if univariate == "monotonic" else 0.3)  # small positive weights have small slopes


SOURCES = {"normal": NormalSource, "logistic": LogisticSource}
SOURCES["mixture"] = lambda dims: MixtureSource(dims=dims, components=3, initial_spread=1.0)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("univariate", FUNCTIONS)
def test_densities_of_a_number_integrate_to_one(univariate, source):
    flow = flow_of(1, lambda shape, context_dim: stack("maf", univariate, shape), SOURCES[source])
    spread(flow, univariate)
    x = torch.linspace(-60, 60, 24_001)
    assert abs(torch.trapezoid(flow.log_prob(x[:, None]).exp(), x).item() - 1) < 2e-3


@pytest.mark.parametrize(
    "kind,univariate", [("maf", "spline"), ("coupling", "affine"), ("maf", "monotonic"), ("iaf", "spline")]
)
@torch.no_grad()
def test_densities_of_the_plane_integrate_to_one(kind, univariate):
    flow = flow_of(2, lambda shape, context_dim: stack(kind, univariate, shape))
    spread(flow, univariate, size=0.6)
    flow.initialise(torch.randn(100, 2) * torch.tensor([0.5, 2.0]) + 1, None)
    drawn = flow.sample(500)
    sd, mean = torch.std_mean(drawn, dim=0)
    line = torch.linspace(-8, 8, 161)
    grid = torch.cartesian_prod(line, line) * sd + mean
    assert abs((flow.log_prob(grid).exp().sum() * 0.1**2 * sd.prod()).item() - 1) < 1e-2


def test_a_linear_flow_is_a_gaussian():
    flow = flow_of(3, lambda shape, context_dim: LULinear(shape))
    enlarged(flow.transform)
    lower, upper = flow.transform.factors()
    inverse = torch.linalg.inv(lower @ upper)
    mean = -(inverse @ flow.transform.bias)
    truth = torch.distributions.MultivariateNormal(mean, inverse @ inverse.t())
    x = torch.randn(5, 3)
    torch.testing.assert_close(flow.log_prob(x), truth.log_prob(x))


@pytest.mark.parametrize("source", SOURCES)
def test_sources_have_the_density_and_the_distribution_function_of_their_draws(source):
    torch.manual_seed(0)
    made = SOURCES[source](dims=1)
    z = made.sample(20_000)
    for probe in (-1.0, 0.3, 1.5):
        share = (z <= probe).double().mean().item()
        assert abs(made.cdf(torch.tensor([[probe]])).item() - share) < 0.015
    points = torch.linspace(-40, 40, 8_001)[:, None]
    assert abs(torch.trapezoid(made(points).exp(), points[:, 0]).item() - 1) < 1e-6
    assert made.sample(4, temperature=0.0).std() == 0 or source == "mixture"


def test_likelihoods_under_autocast_are_those_in_full_precision():
    torch.set_default_dtype(torch.float32)
    flow = flow_of(2, lambda shape, context_dim: stack("maf", "spline", shape))
    x = torch.randn(20, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = flow.log_prob(x)
        drawn = flow.decode(x)
    assert torch.equal(inside, flow.log_prob(x)) and torch.equal(drawn, flow.decode(x))


def test_shared_weights_give_the_log_probability_of_zuko():
    import zuko

    torch.manual_seed(0)
    theirs = zuko.flows.NSF(3, transforms=2, bins=5, hidden_features=(8, 8))
    ours = flow_of(3, lambda shape, context_dim: stack("maf", "spline", shape, activation=nn.ReLU()), standardise=False)
    for mine, other in zip(ours.transform.parts[1:], theirs.transform.transforms, strict=True):
        mine.lazy.hyper.load_state_dict(other.hyper.state_dict())
    x = torch.randn(10, 3)
    torch.testing.assert_close(ours.log_prob(x), theirs().log_prob(x), rtol=1e-12, atol=1e-12)


def test_levels_are_refused_and_the_wrapper_is_named():
    with pytest.raises(ValueError, match=r"levels=17: a flow is a density of reals.*model=dequantised"):
        flow_of(2, lambda shape, context_dim: Chain(shape=shape, context_dim=0, parts={}), levels=17)
    with pytest.raises(ValueError, match=r"hidden=\[\]"):
        stack("maf", "affine", (2,), hidden=[])
    with pytest.raises(ValueError, match="alpha=0"):
        Logit((2,), 0)


def test_logit_keeps_its_log_volume_at_the_ends_in_float32():
    torch.set_default_dtype(torch.float32)
    logit = Logit((1,), 1e-6)
    z, log_det = logit(torch.tensor([[0.0], [1.0]]))
    torch.testing.assert_close(z[:, 0], torch.tensor([-1.0, 1.0]) * -log(1e-6), rtol=1e-4, atol=0)
    torch.testing.assert_close(log_det, torch.full((2,), -log(1e-6)), rtol=1e-4, atol=0)
