"""Nearest vectors by brute force, gradients by autograd, moving averages by hand."""

import math
from functools import partial

import pytest
import torch
import torch.distributed

from genexp.probability.latent.codebook import (
    GradientCodebook,
    MovingAverageCodebook,
    nearest,
    perplexity,
    straight_through,
)


@pytest.fixture
def codebook(float64):
    def make(vectors, decay=0.9, restart_below=None):
        made = MovingAverageCodebook(dim=vectors.shape[1], size=len(vectors), decay=decay, restart_below=restart_below)
        made.vectors.copy_(vectors)
        return made

    return make


def observe(codebook, z, scores=None):
    """One batch of z ``(B, D)``, a grid of one place each; their codes."""
    z = z[:, :, None, None]
    codes = codebook(z)[1]
    codebook.observe(z, codes, torch.zeros(len(z), 1, 1) if scores is None else scores[:, None, None])
    return codes.flatten()


def test_the_nearest_vector_is_that_of_brute_force(float64):
    torch.manual_seed(0)
    z, vectors = 2 * torch.randn(3, 4, 5, 6), torch.randn(7, 6)
    distance = ((z[..., None, :] - vectors) ** 2).sum(-1)
    assert torch.equal(nearest(z, vectors), distance.argmin(-1))
    assert nearest(vectors, vectors).tolist() == list(range(7))
    assert nearest(torch.zeros(1, 2), torch.tensor([[3.0, 0], [0, 1], [0, -1]])).tolist() == [1]  # the first of two


def test_vectors_stand_where_their_codes_do(codebook):
    torch.manual_seed(0)
    book, codes = codebook(torch.randn(5, 3)), torch.randint(5, (2, 4, 6))
    e = book.lookup(codes)
    assert e.shape == (2, 3, 4, 6) and torch.equal(e[1, :, 2, 3], book.vectors[codes[1, 2, 3]])
    again, found = book(e)
    assert torch.equal(found, codes) and torch.equal(again, e)


def test_the_gradient_passes_straight_through(float64):
    torch.manual_seed(0)
    z, vectors = torch.randn(2, 3, 4, 4, requires_grad=True), torch.randn(5, 3, requires_grad=True)
    e = vectors[nearest(z.movedim(1, -1), vectors)].movedim(-1, 1)
    out, weight = straight_through(z, e), torch.randn(2, 3, 4, 4)
    assert torch.equal(out, e)  # exactly
    to_z, to_vectors = torch.autograd.grad((weight * out).sum(), [z, vectors], allow_unused=True)
    assert torch.equal(to_z, weight) and to_vectors is None


def test_the_objective_moves_vectors_towards_what_they_replace(float64):
    torch.manual_seed(0)
    book, z = GradientCodebook(dim=3, size=4), torch.randn(6, 3, 2, 2, requires_grad=True)
    e, codes = book(z)
    loss = book.objective(z, e)
    assert torch.allclose(loss, ((z - e) ** 2).sum((1, 2, 3)))
    (gradient,) = torch.autograd.grad(loss.sum(), [book.vectors], retain_graph=True)
    assert torch.autograd.grad(loss.sum(), [z], allow_unused=True) == (None,)
    flat = z.movedim(1, -1).reshape(-1, 3)
    for i in range(4):
        mine = flat[codes.flatten() == i]
        assert torch.allclose(gradient[i], 2 * (book.vectors[i] - mine).sum(0))


def test_moving_averages_follow_their_formula(codebook):
    book = codebook(torch.tensor([[0.0, 0.0], [10.0, 0.0], [-10.0, 0.0]]))
    before = book.vectors.clone()
    counts, sums = torch.zeros(3), torch.zeros(3, 2)
    for z in (torch.tensor([[1.0, 1], [2, 0], [9, 3]]), torch.tensor([[0.5, 1], [8.0, 1], [8, 2], [11, -1]])):
        codes = observe(book, z)
        for i in range(3):
            counts[i] = 0.9 * counts[i] + 0.1 * (codes == i).sum()
            sums[i] = 0.9 * sums[i] + 0.1 * z[codes == i].sum(0)
        assert torch.equal(book.vectors, before)  # not before the end of the step
        book.update()
        assert torch.allclose(book.counts, counts) and torch.allclose(book.sums, sums)
        assert torch.allclose(book.vectors[:2], sums[:2] / counts[:2, None])
        assert torch.equal(book.vectors[2], before[2])  # never used
        before = book.vectors.clone()
    book.update()  # a step without batches
    assert torch.equal(book.vectors, before) and not book.objective(torch.ones(2, 2), torch.zeros(2, 2)).any()


def test_two_batches_of_a_step_are_one(codebook):
    torch.manual_seed(0)
    start, z, scores = torch.randn(6, 2), torch.randn(20, 2), torch.randn(20)
    books = []
    for parts in ((z, scores),), ((z[:7], scores[:7]), (z[7:], scores[7:])):
        book = codebook(start, restart_below=0.5)
        for part in parts:
            observe(book, *part)
        book.update()
        books.append(book)
    for name, value in books[0].state_dict().items():
        assert torch.allclose(value, books[1].state_dict()[name]), name


def learn_apart(rank, folder, start, z, scores):
    """One of two processes, which has every second row."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    book = MovingAverageCodebook(dim=2, size=6, decay=0.9, restart_below=0.5)
    book.vectors.copy_(start)
    for part, numbers in zip(z, scores, strict=True):
        observe(book, part[rank::2], numbers[rank::2])
        book.update()
    torch.save(book.state_dict(), folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_learn_what_one_learns(codebook, tmp_path):
    torch.manual_seed(0)
    start, z, scores = torch.randn(6, 2), torch.randn(3, 20, 2), torch.randn(3, 20)
    book = codebook(start, restart_below=0.5)
    for part, numbers in zip(z, scores, strict=True):
        observe(book, part, numbers)
        book.update()
    arguments = (tmp_path, start, z, scores)
    torch.multiprocessing.start_processes(learn_apart, arguments, nprocs=2, start_method="fork")
    for rank in range(2):
        for name, value in torch.load(tmp_path / f"{rank}.pt", weights_only=True).items():
            assert torch.allclose(value, book.state_dict()[name]), name


def test_dead_vectors_restart_on_what_has_the_largest_scores(codebook):
    far = torch.tensor([[0.0, 0.0], [100.0, 0.0], [0.0, 100.0]])
    z = torch.tensor([[1.0, 0], [2, 0], [3, 0], [4, 0], [5, 0]])
    book = codebook(far, decay=0.8, restart_below=0.9)
    assert observe(book, z, torch.tensor([0.1, 0.5, 0.3, 0.9, 0.2])).tolist() == [0] * 5
    book.update()
    assert torch.allclose(book.vectors, torch.tensor([[3.0, 0], [4, 0], [2, 0]]))  # the mean, then two of z
    assert torch.allclose(book.counts, torch.tensor([1.0, 1, 1]))
    small = codebook(far, decay=0.5, restart_below=0.9)
    observe(small, z[:1], torch.tensor([0.5]))  # fewer z than dead vectors: the first of them only
    small.update()
    assert torch.allclose(small.vectors, torch.tensor([[1.0, 0], [100, 0], [0, 100]]))


def test_a_vector_that_is_not_used_stays_for_ever(codebook):
    book = codebook(torch.tensor([[0.0], [5.0]]), decay=0.1)
    observe(book, torch.tensor([[4.0]]))
    book.update()
    for _ in range(400):  # counts and sums underflow
        observe(book, torch.tensor([[0.0]]))
        book.update()
    assert book.counts[1] < 1e-300 and torch.allclose(book.vectors, torch.tensor([[0.0], [4.0]]))


def test_perplexity_of_known_codes(float64):
    assert perplexity(torch.full((3, 2, 2), 4), 8) == pytest.approx(1)
    assert perplexity(torch.arange(8).view(2, 4), 8) == pytest.approx(8)
    assert perplexity(torch.tensor([0, 0, 0, 5]), 8) == pytest.approx(4 / 3**0.75)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 1}, "codebook.size=1"),
        ({"dim": 0}, "latent_dim=0"),
        ({"decay": 1.0}, "codebook.decay=1.0"),
        ({"restart_below": 1.0}, "codebook.restart_below=1.0"),
    ],
)
def test_wrong_arguments_are_refused(change, message):
    make = partial(MovingAverageCodebook, **{"dim": 2, "size": 4, "decay": 0.9, "restart_below": 0.1, **change})
    with pytest.raises(ValueError, match=message):
        make()


def test_the_first_vectors_have_unit_length_on_average():
    torch.manual_seed(0)
    vectors = MovingAverageCodebook(dim=64, size=500, decay=0.9, restart_below=None).vectors
    assert vectors.norm(dim=1).mean() == pytest.approx(math.sqrt(1 - 1 / 128), abs=0.02)
