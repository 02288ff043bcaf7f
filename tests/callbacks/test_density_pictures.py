"""Pictures of densities, and of the noise that data become."""

import pytest
import torch
from composing import compose_train
from PIL import Image

from genexp.callbacks.density_pictures import density_picture, quantile_picture
from genexp.record.instantiate import instantiate


@pytest.fixture
def gaussian():
    model = instantiate(compose_train("model=gaussian", "data=toy"), "model", [])
    x = torch.randn(400, 2) @ torch.tensor([[2.0, 1.0], [0.0, 0.3]]) + 1
    model.initialise(x, None)
    return model, x


class Known:
    def log_prob(self, x):
        return -(x**2).sum(1)


@torch.no_grad()
def test_the_plane_has_a_panel_for_each_density_and_one_for_the_grid(gaussian, tmp_path):
    model, x = gaussian
    widths = []
    for truth in (None, Known()):
        assert density_picture(model, truth, x, None, tmp_path / "d.png", title="t")
        with Image.open(tmp_path / "d.png") as picture:
            widths.append(picture.size[0])
    assert widths[1] > 1.3 * widths[0]


@torch.no_grad()
def test_what_is_not_in_the_plane_has_no_such_picture(tmp_path):
    for choice in (["model=made", "data=digits"], ["model=gan", "data=toy"]):
        model = instantiate(compose_train(*choice), "model", [])
        assert not density_picture(model, None, torch.zeros(4, 2), None, tmp_path / "d.png", title="t")
        assert not quantile_picture(model, torch.zeros(4, 2), None, tmp_path / "d.png", title="t")
    assert not (tmp_path / "d.png").exists()


@torch.no_grad()
def test_quantiles_are_drawn_also_of_dequantised_levels(gaussian, tmp_path):
    model, x = gaussian
    assert quantile_picture(model, x, None, tmp_path / "q.png", title="t")
    levels = instantiate(compose_train("model=dequantised", "data=digits"), "model", [])
    assert quantile_picture(levels, torch.randint(17, (20, 1, 8, 8)).to(torch.uint8), None, tmp_path / "q.png", title="t")
