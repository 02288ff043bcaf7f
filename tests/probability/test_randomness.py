import random

import torch

from genexp.probability.randomness import generator, key


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
