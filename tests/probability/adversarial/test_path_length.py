"""Lengths against explicit Jacobians, the running mean by hand."""

import pytest
import torch
from torch.autograd.functional import jacobian

from genexp.networks.adversarial.stylegan2 import StyleGenerator
from genexp.probability.adversarial.path_length import PathLength

LAYERS, DIM = 3, 4


@pytest.fixture
def tiny(float64):
    """A smooth generator, w ``(B, LAYERS * DIM)`` or ``(B, LAYERS, DIM)`` -> ``(B, 2, 3, 3)``, and the Jacobian of one
    example, ``(18, LAYERS * DIM)``."""
    torch.manual_seed(0)
    a = torch.randn(18, LAYERS * DIM, requires_grad=True)

    def generate(w):
        return torch.tanh(w.flatten(1) @ a.T).view(-1, 2, 3, 3)

    def explicit(w):
        return jacobian(lambda v: generate(v[None]).flatten(), w.flatten())

    return a, generate, explicit


def penalty(**changes):
    return PathLength(**{"weight": 2.0, "decay": 0.1, "every": 4} | changes)


@pytest.mark.parametrize(("shape", "layers"), [((LAYERS * DIM,), 1), ((LAYERS, DIM), LAYERS)])
def test_lengths_are_those_of_explicit_jacobians(shape, layers, tiny):
    _, generate, explicit = tiny
    module, w, eps = penalty().eval(), torch.randn(5, *shape, requires_grad=True), torch.randn(5, 2, 3, 3)
    module.mean.fill_(0.4)
    found = module(generate(w), w, eps)
    assert found.shape == (5,)
    for b in range(5):
        product = explicit(w[b].detach()).T @ eps[b].flatten() / 3  # sqrt(H W)
        square = (product.view(layers, -1) ** 2).sum(1).mean()  # over the layers
        assert torch.allclose(found[b], 2 * (square.sqrt() - 0.4) ** 2)


def test_the_mean_square_is_the_norm_of_the_jacobian(tiny):
    """E |J^T eps|^2 = |J|_F^2, exactly over all unit vectors, and nearly over draws."""
    _, generate, explicit = tiny
    module, w = penalty(weight=1.0).eval(), torch.randn(LAYERS * DIM)
    expected = explicit(w).square().sum() / 9
    rows = w.repeat(18, 1).requires_grad_()
    assert torch.allclose(module(generate(rows), rows, torch.eye(18).view(18, 2, 3, 3)).sum(), expected)
    rows = w.repeat(20_000, 1).requires_grad_()
    drawn = module(generate(rows), rows)
    assert abs(drawn.mean() - expected) < 4 * drawn.std() / 20_000**0.5


def test_the_running_mean_by_hand(tiny):
    _, generate, _ = tiny
    module = penalty()
    a = 0.0
    for _ in range(3):
        w, eps = torch.randn(5, LAYERS * DIM, requires_grad=True), torch.randn(5, 2, 3, 3)
        x = generate(w)
        (product,) = torch.autograd.grad((x * eps).sum() / 3, w, retain_graph=True)
        lengths = product.norm(dim=1)
        a = 0.9 * a + 0.1 * lengths.mean()
        assert torch.allclose(module(x, w, eps), 2 * (lengths - a) ** 2)
        assert torch.allclose(module.mean, a)
    module.eval()(generate(w), w)
    assert torch.allclose(module.mean, a)
    other = penalty()
    other.load_state_dict(module.state_dict())
    assert torch.equal(other.mean, module.mean)


def test_the_gradient_is_that_of_differences(tiny):
    a, generate, _ = tiny
    module, w, eps = penalty().eval(), torch.randn(5, LAYERS * DIM, requires_grad=True), torch.randn(5, 2, 3, 3)
    module.mean.fill_(0.4)

    def total():
        return module(generate(w), w, eps).sum()

    (gradient,) = torch.autograd.grad(total(), a)
    direction, step = torch.randn_like(a), 1e-6
    with torch.no_grad():
        a += step * direction
    above = total()
    with torch.no_grad():
        a -= 2 * step * direction
    difference = (above - total()) / (2 * step)
    assert difference.item() == pytest.approx((gradient * direction).sum().item(), rel=1e-6)


def test_no_gradient_passes_through_the_mean(tiny):
    """The gradient while a moves is that for the same a when it does not."""
    a, generate, _ = tiny
    module, w, eps = penalty(decay=0.5), torch.randn(5, LAYERS * DIM, requires_grad=True), torch.randn(5, 2, 3, 3)
    (moving,) = torch.autograd.grad(module(generate(w), w, eps).sum(), a)
    (held,) = torch.autograd.grad(module.eval()(generate(w), w, eps).sum(), a)
    assert torch.allclose(moving, held) and held.any()


def test_an_image_that_ignores_w_has_a_finite_gradient(float64):
    w, a = torch.randn(2, 3, requires_grad=True), torch.zeros(9, 3, requires_grad=True)
    penalty()((w @ a.T).view(2, 1, 3, 3), w).sum().backward()
    assert a.grad.isfinite().all()


def test_it_reaches_mapping_and_synthesis(float64):
    torch.manual_seed(0)
    sizes = {"w_dim": 6, "mapping_layers": 2, "mapping_multiplier": 0.01, "mean_decay": 0.9, "mixing_probability": 0.9}
    generator = StyleGenerator(
        shape=(1, 8, 8), levels=256, latent_dim=5, num_classes=0, channels=4, max_channels=8, **sizes
    )
    w = generator.styles(torch.randn(4, 5))
    penalty()(generator.synthesis(w), w).mean().backward()
    for name, parameter in generator.named_parameters():
        if name.endswith("weight"):
            assert parameter.grad is not None and parameter.grad.any(), name


@pytest.mark.parametrize(
    ("change", "message"),
    [({"weight": -1.0}, r"weight=-1\.0"), ({"decay": 0.0}, r"decay=0\.0"), ({"every": 0}, "every=0")],
)
def test_wrong_arguments_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        penalty(**change)
