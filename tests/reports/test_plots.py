"""``genexp compare --plot``: which values are drawn, from run folders written by hand."""

import pytest
from PIL import Image
from rich.console import Console
from test_comparison import write_run
from tiny_overrides import NETS, TINY

from genexp.reports.bounds import bounds_of
from genexp.reports.comparison import gather
from genexp.reports.rate_distortion import lower_envelope, rate_points

CONSOLE = Console(quiet=True)


def bounds(*values):
    return {f"test/nll_bound_nats_k{k}": value for k, value in zip((1, 10, 100), values, strict=False)}


def is_png(path):
    with Image.open(path) as picture:
        picture.verify()
        return picture.format == "PNG" and picture.size[0] > 300


def test_bounds_of_configurations_with_seeds_and_an_exact_value(genexp, tmp_path):
    for number, (width, seed, values) in enumerate(
        [(1, 0, (9, 7, 6)), (1, 1, (11, 8, 6.5)), (2, 0, (8, 5)), (2, 1, (8, 5))]
    ):
        exact = {"test/nll_nats": 4.5, "test/nll_bpd": 1.0} if width == 2 else {}
        write_run(tmp_path / "s", number, [f"model.width={width}", f"seed={seed}"], bounds(*values) | exact)
    one, two = bounds_of(gather(["s"], CONSOLE))
    assert one.name == "width=1" and two.name == "width=2"
    assert {k: mean for k, (mean, _) in one.values.items()} == {1: 10, 10: 7.5, 100: 6.25}
    assert one.values[1][1] == pytest.approx(2**0.5) and one.exact is None
    assert two.values == {1: (8, 0), 10: (5, 0)} and two.exact == (4.5, 0)
    assert one.gaps() == {1: 3.75, 10: 1.25, 100: 0} and two.gaps() == {1: 3.5, 10: 0.5}

    code, out, err = genexp("compare", "s", "--plot", "bounds")
    assert code == 0 and "wrote s/bounds.png" in out and is_png("s/bounds.png"), err
    assert "width=1" in out and "3.75" in out and "1.25" in out and "0.50" in out
    code, _, err = genexp("compare", "s/0-x", "s/2-x", "--plot", "bounds", "--output", "b.png")
    assert code == 0 and is_png("b.png"), err


def test_one_run_has_its_name_and_standard_errors(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "s", 0, [], bounds(9, 7))
    (line,) = bounds_of(gather(["s"], CONSOLE))
    assert line.name == "0-x" and line.values == {1: (9, 0.1), 10: (7, 0.1)}


def test_unlike_protocols_are_lines_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "s", 0, ["model.width=1"], bounds(9, 7), {"split": "test", "examples": 100})
    write_run(tmp_path / "s", 1, ["model.width=2"], bounds(8, 6), {"split": "test", "examples": 200})
    lines = bounds_of(gather(["s"], CONSOLE))
    assert [line.name for line in lines] == ["width=1 (examples 100)", "width=2 (examples 200)"]


def test_rates_and_distortions(genexp, tmp_path):
    for number, (beta, rate, distortion) in enumerate([(10.0, 0, 206), (0.1, 40, 60), (1.0, 20, 75)]):
        values = {"test/rate_nats": rate, "test/distortion_nats": distortion, "test/elbo_nats": 1.0}
        write_run(tmp_path / "s", number, [f"model.beta={beta}"], values)
    write_run(tmp_path / "s", 3, ["model.beta=5.0"], {"test/rate_nats": 3.0})  # one value alone is no point
    points = rate_points(gather(["s"], CONSOLE))
    assert [(p.name, p.rate, p.distortion) for p in points] == [
        ("beta=0.1", (40, 0.1), (60, 0.1)),
        ("beta=1.0", (20, 0.1), (75, 0.1)),
        ("beta=10.0", (0, 0.1), (206, 0.1)),
    ]
    code, out, err = genexp("compare", "s", "--plot", "rate_distortion", "--output", "rd.png")
    assert code == 0 and "wrote rd.png" in out and is_png("rd.png"), err
    assert genexp("compare", "s/0-x", "--plot", "rate_distortion")[0] == 0 and is_png("s/0-x/rate_distortion.png")


@pytest.mark.parametrize(
    ("points", "corners"),
    [
        ([(0, 10)], [0]),
        ([(4, 1), (0, 10), (2, 3)], [1, 2, 0]),
        ([(0, 10), (2, 6), (4, 1)], [0, 2]),  # above the line between the others
        ([(0, 10), (4, 1), (6, 2), (8, 0.5)], [0, 1, 3]),
        ([(0, 10), (4, 1), (6, 2)], [0, 1]),  # more rate and more distortion
        ([(0, 10), (0, 8), (4, 1)], [1, 2]),
        ([(0, 8), (0, 8), (4, 8)], [0]),
    ],
)
def test_the_lower_envelope(points, corners):
    found = lower_envelope(points)
    assert [points[i] for i in found] == [points[i] for i in corners]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["s", "--plot", "bound"], "--plot=bound: must be one of bounds, rate_distortion. Did you mean 'bounds'?"),
        (["s", "--plot", "bounds"], "metrics.bound.ks"),
        (["s", "--plot", "rate_distortion"], "genexp evaluate run=s/0-x metrics=latents"),
        (["s", "--plot", "bounds", "--output", "nowhere/b.png"], "nowhere is not a folder"),
        (["s", "--plot", "bounds", "--csv", "t.csv"], "--csv has no effect on a plot"),
        (["s", "--output", "b.png"], "--output names the file of a plot"),
    ],
)
def test_wrong_requests_are_one_line(genexp, tmp_path, arguments, expected):
    write_run(tmp_path / "s", 0, [], {"test/nll_bpd": 3.0})
    code, _, err = genexp("compare", *arguments)
    assert code == 2 and expected in err and err.count("\n") == 1


@pytest.mark.slow
def test_a_sweep_ends_with_its_plots(genexp):
    command = ["train", "sweep=beta", "name=s", *TINY, *NETS["vae"], "hydra.sweeper.probe=false", "model.beta=0.5,2"]
    code, out, err = genexp(*command, "hydra.sweeper.plots=[rate_distortion,bounds]")
    assert code == 0 and "wrote outputs/s/rate_distortion.png" in out, err
    assert is_png("outputs/s/rate_distortion.png") and is_png("outputs/s/bounds.png")
    code, _, err = genexp(*command, "resume=true", "hydra.sweeper.plots=[bound]")
    assert code == 2 and "hydra.sweeper.plots=bound" in err and "bounds" in err
    code, out, err = genexp(
        "train", "-m", "model=vae", *command[2:], "name=t", "metrics=latents", "hydra.sweeper.plots=[bounds]"
    )
    assert code == 0 and "--plot bounds: no run has a value" in out, err
