"""Tables of decoded latent points, with a model whose encoder and decoder are known."""

import pytest
import torch
from PIL import Image

from genexp.callbacks.grids import MARGIN, SPACE
from genexp.callbacks.latent_tables import (
    interpolations,
    prior_interpolations,
    reconstructions,
    symmetric_values,
    traversals,
    usage,
)
from genexp.families.capabilities import LatentVariables
from genexp.probability.latent.interpolation import linear, slerp


class Shown(LatentVariables):
    """z is the two pixels of x halved, the decoder doubles them and adds the label; keeps what it is asked."""

    latent_dim = 2

    def __init__(self, rates=None):
        self.rates, self.asked = rates, []

    def latent_mean(self, x, y=None):
        return x.flatten(1).float() / 2

    def latent_rates(self, x, y=None):
        return self.rates

    def infer(self, x, y=None, k=1):
        z = self.latent_mean(x).expand(k, -1, -1) + torch.arange(1, k + 1)[:, None, None]
        return z, torch.zeros(k, len(x))

    def conditional_mean(self, z, y=None):
        self.asked.append((z, y))
        return (2 * z + (0 if y is None else y[:, None])).view(-1, 1, 1, 2)

    def decode(self, z, y=None, *, temperature=1.0):
        return self.conditional_mean(z, y) + 100 * temperature

    sample_prior = log_prior = log_conditional = log_posterior = None


def images(n):
    return torch.randint(1, 9, (n, 1, 1, 2), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


@pytest.mark.parametrize("path", [linear, slerp])
def test_interpolations_of_draws_go_from_one_draw_to_the_next(path):
    model = Shown()
    ends = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    model.sample_prior = lambda n: ends[:n]
    table = prior_interpolations(model, torch.tensor([4, 5, 6]), rows=3, path=path, steps=5, knobs={})
    assert torch.equal(table.z, path(ends[::2], ends[1::2], torch.linspace(0, 1, 5)))
    assert table.decoded.shape[:2] == (3, 5)
    assert table.y.tolist() == [4, 5, 6] and table.shown()[1] == ["0", "0.25", "0.5", "0.75", "1"]


@pytest.mark.parametrize("path", [linear, slerp])
def test_interpolations_go_from_reconstruction_to_reconstruction(path):
    model, x = Shown(), images(6)
    table = interpolations(model, x, None, None, path=path, steps=5, knobs={})
    assert table.z.shape == (3, 5, 2) and table.decoded.shape == (3, 5, 1, 1, 2)
    assert torch.equal(table.decoded[:, 0], x[::2].float()) and torch.equal(table.decoded[:, -1], x[1::2].float())
    assert torch.equal(table.z, path(model.latent_mean(x[::2]), model.latent_mean(x[1::2]), torch.linspace(0, 1, 5)))
    shown, names = table.shown()
    assert names == ["original", "0", "0.25", "0.5", "0.75", "1", "original"] and table.rows is None
    assert torch.equal(shown[:, 0], x[::2].float()) and torch.equal(shown[:, -1], x[1::2].float())
    assert torch.equal(shown[:, 1:-1], table.decoded)


def test_a_row_has_one_label_and_a_temperature_draws():
    x, y = images(4), torch.tensor([3, 5, 7, 9])
    table = interpolations(Shown(), x, y, y[::2], path=linear, steps=2, knobs={})
    expected = torch.stack([x[::2] + y[::2, None, None, None], x[1::2] + y[::2, None, None, None]], 1)
    assert torch.equal(table.decoded, expected.float()) and table.y.tolist() == [3, 7]
    warm = interpolations(Shown(), x, y, y[::2], path=linear, steps=2, knobs={"temperature": 0.5})
    assert torch.equal(warm.decoded, table.decoded + 50)


def test_a_traversal_changes_one_dimension_only():
    model = Shown()
    model.latent_dim = 4
    centre, used, values = torch.tensor([0.1, 0.2, 0.3, 0.4]), torch.tensor([0.5, 2.0, 0.0, 1.0]), [-3.0, 0.0, 3.0]
    model.conditional_mean = lambda z, y: z.view(-1, 1, 2, 2)
    table = traversals(model, centre, None, used, "KL {:.2f}", rows=3, values=values, knobs={})
    assert table.rows == ["z1  KL 2.00", "z3  KL 1.00", "z0  KL 0.50"] and table.columns == ["-3", "0", "3"]
    for row, dim in zip(table.z, (1, 3, 0), strict=True):
        assert row[:, dim].tolist() == values
        others = [d for d in range(4) if d != dim]
        assert torch.equal(row[:, others], centre[others].expand(3, 3))
    assert torch.equal(table.decoded.flatten(2), table.z) and centre.tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert len(traversals(model, centre, None, used, "{}", rows=9, values=values, knobs={}).z) == 4
    labels = []
    model.conditional_mean = lambda z, y: labels.append(y) or z.view(-1, 1, 2, 2)
    traversals(model, centre, torch.tensor([7]), used, "{}", rows=2, values=values, knobs={})
    assert labels[0].tolist() == [7] * 6


def test_values_of_a_traversal():
    assert symmetric_values(3.0, 11) == pytest.approx([-3, -2.4, -1.8, -1.2, -0.6, 0, 0.6, 1.2, 1.8, 2.4, 3])
    assert symmetric_values(3.0, 11)[5] == 0 and symmetric_values(1.5, 2) == [-1.5, 1.5]
    table = traversals(
        Shown(), torch.zeros(2), None, torch.ones(2), "", rows=1, values=symmetric_values(3.0, 11), knobs={}
    )
    assert " ".join(table.columns) == "-3 -2.4 -1.8 -1.2 -0.6 0 0.6 1.2 1.8 2.4 3"


def test_dimensions_are_ranked_by_kl_or_else_by_the_variance_of_means():
    x = images(50)
    used, form = usage(Shown(torch.tensor([[1.0, 4.0], [3.0, 0.0]])), x, None)
    assert used.tolist() == [2.0, 2.0] and form.format(used[0]) == "KL 2.00 nats"
    used, form = usage(Shown(), x, None)
    assert torch.allclose(used, (x.flatten(1).float() / 2).var(0)) and form.format(1.0) == "var 1.00"


def test_reconstructions_of_the_mean_and_of_draws():
    x = images(3)
    table = reconstructions(Shown(), x, None, None, draws=2, knobs={})
    assert table.columns == ["mean of q", "draw 1", "draw 2"] and table.z.shape == (3, 3, 2)
    expected = torch.stack([x.float(), x.float() + 2, x.float() + 4], 1)
    assert torch.equal(table.decoded, expected)
    shown, names = table.shown()
    assert torch.equal(shown[:, 0], x.float()) and names == ["original", "mean of q", "draw 1", "draw 2"]


def test_the_picture_has_every_image_and_room_for_names(tmp_path):
    x = images(4)
    x[2:] = 8
    table = interpolations(Shown(), x, torch.zeros(4), torch.zeros(2, dtype=torch.long), path=linear, steps=3, knobs={})
    assert table.write(9, tmp_path / "a.png", title="a title", names=["zero", "one"])
    with Image.open(tmp_path / "a.png") as picture:
        picture = picture.convert("RGB")
    cell, below = (64 + SPACE, 32 + SPACE), 2 * (32 + SPACE)
    left, top = picture.width - MARGIN - 5 * cell[0], picture.height - MARGIN - below
    assert left > 10 and top > 10
    for i, image in enumerate(table.shown()[0].flatten(0, 1)):
        row, column = divmod(i, 5)
        for side in (0, 1):
            at = (left + 1 + column * cell[0] + 16 + 32 * side, top + 1 + row * cell[1] + 10)
            assert picture.getpixel(at) == (round(image[0, 0, side].item() / 8 * 255),) * 3
    margin = [picture.getpixel((i, top + 15)) for i in range(left)]
    assert min(margin) < (140,) * 3 and margin[0] == (255,) * 3  # the label, on white
    assert not table.write(None, tmp_path / "b.png", title="") and not (tmp_path / "b.png").exists()
