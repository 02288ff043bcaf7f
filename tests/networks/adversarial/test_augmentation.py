import pytest
import torch

from genexp.networks.adversarial.augmentation import DifferentiableAugmentation

OFF = {"brightness": 0.0, "saturation": 0.0, "contrast": 0.0, "translation": 0.0, "cutout": 0.0}
AUTHORS = {"brightness": 0.5, "saturation": 1.0, "contrast": 0.5, "translation": 0.125, "cutout": 0.5}


def images(n=4, channels=3, height=8, width=6):
    torch.manual_seed(0)
    return torch.rand(n, channels, height, width) * 2 - 1, torch.rand(n, DifferentiableAugmentation.draws)


def test_without_strength_nothing_changes():
    x, u = images()
    assert torch.equal(DifferentiableAugmentation(**OFF)(x, u), x)


def test_colours_by_hand(float64):
    x, u = images()
    changed = {k: DifferentiableAugmentation(**OFF | {k: v})(x, u) for k, v in AUTHORS.items()}
    for i, (image, draws) in enumerate(zip(x, u, strict=True)):
        assert torch.allclose(changed["brightness"][i], image + draws[0] - 0.5)
        grey, mean = image.mean(0), image.mean()
        assert torch.allclose(changed["saturation"][i], (image - grey) * 2 * draws[1] + grey)
        assert torch.allclose(changed["contrast"][i], (image - mean) * (draws[2] + 0.5) + mean)


def test_saturation_leaves_grey_images_as_they_are(float64):
    augmentation = DifferentiableAugmentation(**OFF | {"saturation": 1.0})
    for channels in (1, 3):
        x, u = images(channels=1)
        x = x.expand(-1, channels, -1, -1)
        assert torch.allclose(augmentation(x, u), x)


def test_translation_by_hand():
    """A quarter of 8 rows and 6 columns: up to two either way, uniformly; the draw picks one of five."""
    x, _ = images(n=1)
    augmentation = DifferentiableAugmentation(**OFF | {"translation": 0.25})
    for down in range(-2, 3):
        for right in range(-2, 3):
            u = torch.full((1, 7), 0.999)
            u[0, 3], u[0, 4] = (down + 2.5) / 5, (right + 2.5) / 5
            expected = torch.zeros_like(x)
            for row in range(8):
                for column in range(6):
                    if 0 <= row - down < 8 and 0 <= column - right < 6:
                        expected[..., row, column] = x[..., row - down, column - right]
            assert torch.equal(augmentation(x, u), expected)


@pytest.mark.parametrize("fraction", [0.25, 0.5, 1.0])
def test_cutout_by_hand(fraction):
    """A rectangle around a centre that is uniform over the image, and one row or column more where its side is even."""
    x, _ = images(n=1, height=8, width=12)
    augmentation = DifferentiableAugmentation(**OFF | {"cutout": fraction})
    height, width = round(8 * fraction), round(12 * fraction)
    places, seen = (8 + (height % 2 == 0), 12 + (width % 2 == 0)), set()
    for i in range(places[0]):
        for j in range(places[1]):
            u = torch.full((1, 7), 0.999)
            u[0, 5], u[0, 6] = (i + 0.5) / places[0], (j + 0.5) / places[1]
            expected, top, left = x.clone(), i - height // 2, j - width // 2
            expected[..., max(0, top) : top + height, max(0, left) : left + width] = 0
            found = augmentation(x, u)
            assert torch.equal(found, expected)
            seen.add(found.ne(0).numpy().tobytes())
    assert len(seen) == places[0] * places[1]


def test_draws_at_the_ends_of_their_range_shift_the_most():
    largest = torch.tensor(1.0).nextafter(torch.tensor(0.0))
    for side in range(8, 65):
        x = torch.ones(2, 1, side, side)
        u = torch.stack([torch.zeros(7), largest.expand(7)])
        moved = DifferentiableAugmentation(**OFF | {"translation": 0.125})(x, u)
        kept = side - int(side / 8 + 0.5)
        assert moved.sum((1, 2, 3)).tolist() == [kept**2, kept**2]
        assert moved[0, 0, 0, 0] == 1 and moved[1, 0, -1, -1] == 1


def test_rows_are_strangers(float64):
    augmentation, (x, u) = DifferentiableAugmentation(**AUTHORS), images()
    together = augmentation(x, u)
    for i in range(4):
        assert torch.equal(together[i : i + 1], augmentation(x[i : i + 1], u[i : i + 1]))
    assert len({tuple(row) for row in augmentation(x[:1].expand_as(x), u).flatten(1).tolist()}) == 4


def test_gradients_by_finite_differences(float64):
    augmentation, (x, u) = DifferentiableAugmentation(**AUTHORS), images(n=2, channels=3, height=5, width=4)
    x.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: augmentation(x, u), x)
    assert torch.autograd.gradgradcheck(lambda x: augmentation(x, u) ** 2, x)
    (gradient,) = torch.autograd.grad(augmentation(x, u).sum(), x)
    assert gradient.any()


@pytest.mark.parametrize(("name", "value"), [*((name, -0.1) for name in OFF), ("translation", 1.1), ("cutout", 1.1)])
def test_impossible_strengths_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name}={value}"):
        DifferentiableAugmentation(**OFF | {name: value})
