import pytest
import torch
from stand_ins import Replay, Tensors

from genexp.metrics import neighbours
from genexp.metrics.memorisation import Memorisation
from genexp.metrics.neighbours import nearest
from genexp.probability.randomness import generator


def levels(n, seed, top=256, shape=(1, 4, 4)):
    return torch.randint(top, (n, *shape), generator=generator(seed, "levels")).to(torch.uint8)


def normal(n, seed):
    return torch.randn(n, 2, generator=generator(seed, "normal"))


@pytest.mark.parametrize("pairs", [1, 50, 10_000])
def test_neighbours_are_those_of_all_distances(pairs, monkeypatch):
    monkeypatch.setattr(neighbours, "PAIRS_AT_ONCE", pairs)
    x, train = levels(7, 0), levels(23, 1)
    x[3] = train[17]
    distances, index = nearest(x, Tensors(256, train=train), "train", 4)
    naive = torch.stack([((x[i].double() - train.double()) / 255).square().flatten(1).mean(1).sqrt() for i in range(7)])
    expected = naive.sort(1)
    torch.testing.assert_close(distances, expected.values[:, :4])
    assert torch.equal(index, expected.indices[:, :4])
    assert distances[3, 0] == 0 and index[3, 0] == 17 and (distances[:3, 0] > 0).all()


def test_distances_of_reals_and_of_bits():
    data = Tensors(None, train=torch.tensor([[0.0, 0.0], [3.0, 4.0]]))
    distances, index = nearest(torch.tensor([[3.0, 3.0]]), data, "train", 2)
    assert distances[0].tolist() == pytest.approx([0.5**0.5, 3.0]) and index.tolist() == [[1, 0]]
    bits = torch.tensor([[0, 0, 1, 1]], dtype=torch.uint8)
    assert nearest(bits, Tensors(2, train=1 - bits), "train", 1)[0].item() == 1  # black for white everywhere


def measured(samples, data, n=400, split="test"):
    metric = Memorisation(n=n, knobs={}, batch_size=100)
    assert metric.refusal(Replay(samples, None), data) is None
    return metric.compute(Replay(samples, data.levels), data, split, 0)


def test_copies_are_found_and_independent_samples_are_not():
    data = Tensors(None, train=normal(300, 0), test=normal(400, 1))
    z, drawn, real = measured(data.splits["train"][0].repeat(2, 1), data)
    assert z.key == "test/data_copying_z_400" and drawn.key == "test/train_distance_400"
    assert z.value < -20 and drawn.value == 0 < real.value
    assert real.key == "test/train_distance_real" and real.n == 400
    nearly = data.splits["train"][0][:200].repeat(2, 1) + 1e-3 * normal(400, 5)
    assert measured(nearly, data)[0].value < -15
    assert measured(3 * normal(400, 2), data)[0].value > 3  # samples too wide

    def independent(seed):
        data = Tensors(None, train=normal(300, 100 + seed), test=normal(400, 200 + seed))
        return measured(normal(400, 10 + seed), data)[0].value

    scores = torch.tensor([independent(seed) for seed in range(40)])
    assert abs(scores.mean()) < 4 / 40**0.5 and 0.6 < scores.std() < 1.6


def test_the_record_says_what_was_compared():
    data = Tensors(256, train=levels(30, 0), test=levels(20, 1))
    z, drawn, real = measured(levels(50, 2), data, n=50)
    common = {"data": "toy", "split": "test", "train_n": 30, "distance": "rms over dimensions", "unseen": 20}
    assert real.protocol == common and real.n == 20
    assert z.protocol == drawn.protocol == common | {"samples": 50, "samples_from": "model", "conditional": False}
    assert (z.kind, z.direction, z.unit, z.n) == ("estimate", None, "", 50)
    with pytest.raises(ValueError, match="split=train: the samples are compared with unseen examples"):
        measured(levels(50, 2), data, n=50, split="train")
