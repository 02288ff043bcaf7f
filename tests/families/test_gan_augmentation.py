"""What the discriminator sees, and the gradients that penalties are of."""

import pytest
import torch
from small_gans import batches, fit, make

from genexp.probability.adversarial.gradient_penalty import R1


def test_all_that_the_discriminator_sees_is_augmented():
    class Shift(torch.nn.Module):
        draws = 1

        def forward(self, x, u):
            seen.append(len(x))
            return x + 100 * u

    seen = []
    model = make(augmentation=Shift())
    fit(model, batches(1))
    assert seen[:3] == [16] * 3  # real and fake for the discriminator, fake for the generator
    torch.manual_seed(0)
    x = torch.zeros(4, 2)
    assert (model.seen(x) > 0).all()


class Stretch(torch.nn.Module):
    """By 2 to 4, with the draws of an example."""

    draws = 1

    def forward(self, x, u):
        return (2 + 2 * u) * x


@pytest.mark.parametrize("packing", [1, 2])
def test_a_penalised_gradient_is_that_before_the_augmentation(packing):
    """Of a linear discriminator w and T(x) = s x it is s w, of which each example of a pack has its own s."""
    model = make(augmentation=Stretch(), penalties={"r1": R1(gamma=2.0, every=1)}, packing=packing)
    model.discriminator = torch.nn.Linear(2 * packing, 1, bias=False)
    model.discriminator.forward = lambda x, y, judge=model.discriminator.forward: judge(x)
    drawn = []
    model.uniform = lambda n, *shape: drawn.append(torch.rand(n, *shape)) or drawn[-1]
    batch = model.batch(batches(1)[0][0], None, 1)
    terms, _ = model.losses_of_discriminator(batch, torch.zeros(16, 2), 0)
    w = model.discriminator.weight.view(1, packing, 2)
    expected = ((2 + 2 * drawn[-1]).view(-1, packing, 1) * w).square().sum((1, 2))
    assert len(drawn) == 3 and terms["r1"].shape == (16 // packing,)
    assert torch.allclose(terms["r1"], expected)
