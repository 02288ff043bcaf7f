"""The PixelRNNs: geometry of the LSTMs, causality, densities, and sampling without recomputation."""

from itertools import product

import pytest
import torch
from checks import before, check_causality, check_normalised, check_sampler, model_of, randomise
from torch.utils.flop_counter import FlopCounterMode

from genexp.networks.autoregressive.diagonal_bilstm import DiagonalBiLSTM, DiagonalBiLSTMLayer, skew, unskew
from genexp.networks.autoregressive.row_lstm import RowLSTM, RowLSTMLayer

both = pytest.mark.parametrize("kind", [RowLSTM, DiagonalBiLSTM])


@pytest.fixture
def make_rnn(float64):
    def make(kind):
        def of(shape, num_params, num_classes=0, levels=None, **changes):
            sizes = {"shape": shape, "num_params": num_params, "num_classes": num_classes, "levels": levels}
            defaults = {"hidden": 6, "layers": 2, "first_kernel": 3, "head_channels": 24, "forget_bias": 1.0}
            return randomise(kind(**sizes, **defaults | changes), 0.4)

        return of

    return make


# --- geometry -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("height, width", [(3, 5), (5, 3), (4, 4), (1, 4), (4, 1)])
def test_skewing_lines_up_the_diagonals_and_unskewing_inverts_it(height, width):
    x = torch.rand(2, height, width, 3)
    diagonals = skew(x)
    assert len(diagonals) == width + height - 1
    for d, diagonal in enumerate(diagonals):
        pixels = [x[:, i, d - i] for i in range(height) if 0 <= d - i < width]
        assert torch.equal(diagonal, torch.stack(pixels, dim=1))
    assert torch.equal(unskew(diagonals, height, width), x)


def pixel_step(layer, gates, state, cell):
    """Equation 3 at one pixel."""
    o, f, i, g = (gates + state).chunk(4, dim=-1)
    cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
    return o.sigmoid() * cell.tanh(), cell


@pytest.mark.parametrize("height, width", [(3, 4), (4, 2), (1, 3), (3, 1)])
def test_layers_follow_their_equations_pixel_by_pixel(float64, height, width):
    h, zero = 2, torch.zeros(5, 2)
    maps = torch.randn(height, width, 5, 2 * h)
    at = lambda store, i, j: store.get((i, j), zero)  # noqa: E731

    layer = randomise(RowLSTMLayer(hidden=h, channels=1, num_classes=0, forget_bias=1.0), 0.5)
    states, cells = {}, {}
    for i, j in product(range(height), range(width)):
        left = maps[i, j - 1] if j else torch.zeros(5, 2 * h)
        gates = layer.input(torch.cat([left, maps[i, j]], dim=-1))
        above = layer.state(torch.cat([at(states, i - 1, j + k) for k in (-1, 0, 1)], dim=-1))
        states[i, j], cells[i, j] = pixel_step(layer, gates, above, at(cells, i - 1, j))
    expected = torch.stack([maps[p] + layer.up(states[p]) for p in product(range(height), range(width))])
    assert torch.allclose(layer(maps, None).flatten(0, 1), expected, atol=1e-12)

    layer = randomise(DiagonalBiLSTMLayer(hidden=h, channels=1, num_classes=0, forget_bias=1.0), 0.5)
    total = {}
    for direction, columns, beside in ((0, range(width), -1), (1, range(width)[::-1], 1)):
        states, cells = {}, {}
        for i, j in product(range(height), columns):
            gates = layer.input(maps[i, j])[:, direction * 4 * h : (direction + 1) * 4 * h]
            inputs = torch.cat([at(states, i, j + beside), at(states, i - 1, j)], dim=-1)
            states[i, j], cells[i, j] = pixel_step(
                layer, gates, inputs @ layer.state[direction], at(cells, i, j + beside)
            )
            down = i + direction
            total[down, j] = total.get((down, j), 0) + states[i, j]
    expected = torch.stack([maps[p] + layer.up(total[p]) for p in product(range(height), range(width))])
    assert torch.allclose(layer(maps, None).flatten(0, 1), expected, atol=1e-12)


def test_gates_begin_as_asked():
    for kind, directions in ((RowLSTMLayer, 1), (DiagonalBiLSTMLayer, 2)):
        layer = kind(hidden=3, channels=1, num_classes=2, forget_bias=1.5)
        bias = layer.bias(torch.tensor([0, 1])).view(2, directions, 4, 3)
        assert (bias[:, :, 1] == 1.5).all() and (bias[:, :, [0, 2, 3]] != 1.5).all()


# --- what a pixel sees --------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize(
    "shape, layers", [((1, 4, 7), 1), ((1, 6, 3), 1), ((1, 4, 5), 3), ((2, 3, 4), 1), ((3, 3, 3), 2)]
)
def test_diagonal_bilstm_sees_all_that_is_before(make_rnn, shape, layers, labels):
    """Though the first convolution reaches one pixel: all rows above as a whole, and the row to the left."""
    y = torch.tensor([1, 0]) if labels else None
    network = make_rnn(DiagonalBiLSTM)(shape, 1, 2 if labels else 0, layers=layers, hidden=9, head_channels=48)
    check_causality(network, before(network.dims), y)


def triangle(shape, layers, reach):
    """What the Row LSTM sees, ``(D, D)`` pixel by pixel and channel by channel."""
    channels, height, width = shape
    rows = torch.arange(height).repeat_interleave(width).repeat_interleave(channels)
    columns = torch.arange(width).repeat(height).repeat_interleave(channels)
    k, shift = rows[:, None] - rows, columns - columns[:, None]
    above = (k > 0) & (shift >= -k - layers - reach) & (shift <= k + reach - 1)
    beside = (k == 0) & (shift >= -layers - reach) & (shift < 0)
    pixel = (k == 0) & (shift == 0)
    return above | beside | (pixel & before(len(rows)))


@pytest.mark.parametrize(
    "shape, layers, kernel",
    [((1, 5, 9), 1, 3), ((1, 4, 11), 3, 3), ((1, 4, 12), 1, 5), ((2, 2, 5), 1, 3), ((3, 3, 5), 2, 3)],
)
def test_row_lstm_sees_a_triangle(make_rnn, shape, layers, kernel):
    network = make_rnn(RowLSTM)(shape, 1, layers=layers, first_kernel=kernel, hidden=9, head_channels=48)
    allowed = triangle(shape, layers, kernel // 2)
    assert not torch.equal(allowed, before(network.dims))
    check_causality(network, allowed)


def test_large_images_are_seen_from_corner_to_corner(make_rnn):
    """The last pixel of 12 rows, by a Diagonal BiLSTM of one layer whose convolution reaches one pixel."""
    network = make_rnn(DiagonalBiLSTM)((1, 12, 12), 1, layers=1)
    x = torch.rand(1, 1, 12, 12, requires_grad=True)
    for row, column in ((11, 0), (11, 11), (6, 1)):
        (gradient,) = torch.autograd.grad(network(x)[0, 0, 0, row, column], x)
        assert torch.equal(gradient.flatten() != 0, torch.arange(144) < row * 12 + column)


# --- densities ----------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("num_classes", [None, 2])
@pytest.mark.parametrize("shape, levels", [((1, 3, 3), 2), ((3, 1, 2), 3), ((2, 2, 2), 2), ((1, 5, 1), 3)])
def test_probabilities_sum_to_one(make_rnn, all_examples, kind, shape, levels, num_classes):
    model = model_of(make_rnn(kind), shape, levels, num_classes, hidden=4)
    check_normalised(model, all_examples(shape, levels))


# --- sampling -----------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("num_classes", [None, 3])
@pytest.mark.parametrize(
    "shape, network",
    [
        ((1, 4, 5), {"layers": 1}),
        ((1, 5, 4), {"layers": 3, "first_kernel": 7}),
        ((3, 3, 3), {"hidden": 5, "head_channels": 7}),
        ((2, 1, 5), {"first_kernel": 5}),
        ((1, 5, 1), {}),
    ],
    ids=str,
)
def test_incremental_sampling(make_rnn, kind, shape, network, num_classes):
    check_sampler(model_of(make_rnn(kind), shape, 4, num_classes, **network))


@both
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 6, 6)])
def test_a_sample_costs_about_one_forward_pass(make_rnn, kind, shape):
    model = model_of(make_rnn(kind), shape, 2, hidden=12, layers=3, first_kernel=7)
    with FlopCounterMode(display=False) as forward, torch.no_grad():
        model.network(torch.rand(4, *shape))
    with FlopCounterMode(display=False) as sampling:
        model.sample(4)
    assert 0.5 < sampling.get_total_flops() / forward.get_total_flops() < 1.6


@both
def test_half_precision_by_autocast(kind):
    model = model_of(kind, (1, 4, 4), 4, hidden=4, layers=2, first_kernel=3, head_channels=8, forget_bias=1.0)
    x = torch.randint(4, (3, 1, 4, 4)).to(torch.uint8)
    with torch.autocast("cpu", torch.bfloat16):
        loss = model.loss(x)["loss"]
        assert model.sample(3).shape == x.shape
    assert torch.isfinite(loss).all() and torch.allclose(loss, model.loss(x)["loss"], rtol=0.05)


# --- refusals -----------------------------------------------------------------------------------------


@both
def test_impossible_networks_are_refused(make_rnn, kind):
    make = make_rnn(kind)
    with pytest.raises(ValueError, match=r"data\.shape=\[4\]"):
        make((4,), 1)
    for changes in (
        {"hidden": 2},
        {"head_channels": 2},
        {"layers": 0},
        {"first_kernel": 4},
        {"first_kernel": 1},
    ):
        ((name, value),) = changes.items()
        with pytest.raises(ValueError, match=f"{name}={value}: must be"):
            make((3, 4, 4), 1, **changes)
