import random

import pytest
import torch

from genexp.probability.randomness import StepDraws, generator, key


def test_the_key_is_the_same_on_every_machine():
    assert key(0, "step", 0) == 3_788_477_821_895_462_641
    assert generator(0, "order", 3).initial_seed() == key(0, "order", 3)


def test_keys_are_seeds_and_differ():
    keys = [key(seed, *parts) for seed in range(50) for parts in ((), ("a",), ("a", 1), ("a", 11), (1, "a"), ("b",))]
    assert len(set(keys)) == len(keys) and all(0 <= k < 2**63 for k in keys)


def test_draws_depend_on_nothing_drawn_before():
    first = torch.rand(3, generator=generator(1, "x"))
    torch.manual_seed(5)
    random.seed(5)
    torch.rand(7, generator=generator(1, "y"))
    state = torch.get_rng_state()
    assert torch.equal(torch.rand(3, generator=generator(1, "x")), first)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("shape", [(), (3,), (2, 5)])
def test_the_draws_of_a_step_do_not_depend_on_how_its_examples_are_divided(shape):
    def draw(n, **place):
        draws = StepDraws(0, "step", 7, **place)
        options = {"device": torch.device("cpu"), "dtype": torch.float32}
        return [draws.normal(n, *shape, **options) for _ in range(2)] + [torch.tensor(draws.integer(10**9))]

    whole = draw(21, rank=0, world=1)
    assert not torch.equal(whole[0], whole[1])
    for world in (2, 3):
        for rank in range(world):
            part = draw(len(range(rank, 21, world)), rank=rank, world=world)
            assert all(torch.equal(p, w[rank::world]) for p, w in zip(part[:2], whole[:2], strict=True))
            assert part[2] == whole[2]
    for rank in (0, 1):
        later = draw(6, rank=rank, world=2, before=8)
        assert torch.equal(later[0], whole[0][8:20][rank::2]) and later[2] == whole[2]
