"""When grids are drawn, and what of them a checkpoint keeps."""

import pytest
import torch

from genexp.callbacks.samples import SampleGrid
from genexp.record.folder import RunFolder


def drawn(grid, seen):
    """After which validations a grid is drawn."""
    found = []
    for images in seen:
        if grid._due(images):
            grid._last = images
            found.append(images)
    return found


@pytest.mark.parametrize(
    ("every", "planned", "expected"),
    [
        ("auto", 40_000, [4000, 8000, 12_000, 20_000, 32_000, 40_000]),
        ("auto", 400_000, [28_000]),
        ("auto", None, [4000, 8000, 16_000, 32_000]),
        (10_000, 40_000, [12_000, 20_000, 32_000, 40_000]),
        (None, 40_000, []),
    ],
)
def test_grids_come_often_in_the_beginning(every, planned, expected):
    grid = SampleGrid(RunFolder("x"), 4, every, planned, 0)
    assert drawn(grid, range(4000, 40_001, 4000)) == expected


def test_a_continued_run_goes_on_with_the_next_grid_also_one_of_an_earlier_version():
    first, second = (SampleGrid(RunFolder("x"), 4, 10_000, 40_000, 0) for _ in range(2))
    drawn(first, [4000, 8000, 12_000])
    first._strip[12_000] = torch.ones(2, 1, 8, 8, dtype=torch.uint8)
    second.load_state_dict(first.state_dict())
    assert drawn(second, [16_000, 20_000]) == [20_000] and list(second._strip) == [12_000]
    old = SampleGrid(RunFolder("x"), 4, 10_000, 40_000, 0)
    old.load_state_dict({"next": 20_000})
    assert drawn(old, [16_000, 20_000]) == [20_000]


def test_a_short_run_has_pictures_over_time(genexp, tiny):
    code, _, err = genexp(
        *tiny("made", "name=a", "metrics=[]", "training.max_images=5150", "model.conditional=true", "samples.n=12"),
        "samples.every_images=auto",
    )
    assert code == 0, err
    samples = genexp.folder / "outputs/a/samples"
    grids = sorted(path.stem for path in samples.glob("0*.png"))
    assert grids == ["000000000", "000001297", "000002594", "000003891", "000005171"]
    assert (samples / "over_time.png").is_file() and (samples / "final.png").is_file()
