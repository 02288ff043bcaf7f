import pytest
import torch

from genexp.networks.adversarial.style_discriminator import StyleDiscriminator, with_minibatch_std


def make(shape=(1, 8, 8), num_classes=0, num_outputs=1, **changes):
    torch.manual_seed(0)
    sizes = {"channels": 4, "max_channels": 8, "group_size": 4} | changes
    network = StyleDiscriminator(shape=shape, num_classes=num_classes, num_outputs=num_outputs, **sizes)
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)
    return network


@pytest.mark.parametrize(("num_classes", "num_outputs"), [(0, 1), (10, 1), (0, 11), (3, 4)])
@pytest.mark.parametrize("channels", [1, 3, 6])
@pytest.mark.parametrize("side", [8, 16, 28, 32, 48, 64])
def test_shapes(side, channels, num_classes, num_outputs):
    network = make((channels, side, side), num_classes, num_outputs)
    y = torch.tensor([1, 2]) if num_classes else None
    assert network(torch.randn(2, channels, side, side), y).shape == (2, num_outputs)


@pytest.mark.parametrize("num_classes", [0, 3])
def test_every_parameter_gets_a_gradient(num_classes, float64):
    network = make((1, 28, 28), num_classes, num_outputs=2)
    y = torch.tensor([0, 1, 2, 0]) if num_classes else None
    network(torch.randn(4, 1, 28, 28), y).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name


def test_the_label_chooses_the_vector_of_an_inner_product(float64):
    network, x = make(num_classes=3, num_outputs=3), torch.randn(1, 1, 8, 8).expand(3, -1, -1, -1)
    seen = []
    network.out.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    out = network(x, torch.tensor([2, 0, 1]))
    (h,) = seen
    assert h.shape == (3, 8)
    for row, y in enumerate([2, 0, 1]):
        logit = h[row] @ network.out.weight[y] / 8**0.5 + network.out.bias[y]
        assert torch.allclose(out[row, 0], logit)
        others = h[row] @ network.out.weight[3:].T / 8**0.5 + network.out.bias[3:]
        assert torch.allclose(out[row, 1:], others)
    assert len(out[:, 0].unique()) == 3


def test_a_gradient_penalty_has_a_gradient(float64):
    """The derivative of |dD/dx|^2 along a direction, against differences."""
    network, x, v = make(), torch.randn(4, 1, 8, 8), torch.randn(4, 1, 8, 8)

    def penalty(x):
        (gradient,) = torch.autograd.grad(network(x).sum(), x, create_graph=True)
        return gradient.square().sum()

    x.requires_grad_()
    (gradient,) = torch.autograd.grad(penalty(x), x)
    step = 1e-6
    difference = (penalty(x + step * v) - penalty(x - step * v)) / (2 * step)
    assert difference.item() == pytest.approx((gradient * v).sum().item(), rel=1e-5) and gradient.any()


# --- minibatch standard deviation -----------------------------------------------------------------------


@pytest.mark.parametrize(("batch", "size"), [(1, 1), (2, 2), (3, 3), (4, 4), (5, 1), (6, 3), (7, 1), (8, 4), (10, 2)])
def test_minibatch_std_by_hand(batch, size, float64):
    torch.manual_seed(0)
    x = torch.randn(batch, 3, 4, 5)
    out = with_minibatch_std(x, 4)
    assert out.shape == (batch, 4, 4, 5) and torch.equal(out[:, :3], x)
    for start in range(0, batch, size):
        group = x[start : start + size]
        total = 0.0
        for c, i, j in torch.cartesian_prod(torch.arange(3), torch.arange(4), torch.arange(5)):
            values = group[:, c, i, j]
            total += (((values - values.mean()) ** 2).mean() + 1e-8).sqrt()
        assert torch.allclose(out[start : start + size, 3], total / 60)


def test_groups_are_strangers(float64):
    network, x = make(), torch.randn(8, 1, 8, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(x)[1].sum(), x)
    assert gradient.flatten(1).any(1).tolist() == [True] * 4 + [False] * 4


def test_equal_examples_have_a_finite_gradient(float64):
    x = torch.ones(4, 1, 8, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(make()(x).sum(), x)
    assert gradient.isfinite().all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_outputs": 0}, "num_outputs=0"),
        ({"group_size": 0}, "group_size=0"),
        ({"max_channels": 2}, "max_channels=2"),
    ],
)
def test_wrong_arguments_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        make(**change)
