"""The values of runs as numbers: a frame, CSV and JSON."""

import csv
import json
import math

import pytest
from test_comparison import write_run

import genexp as package


@pytest.fixture
def two_seeds(genexp, tmp_path):
    """Two configurations, of which one has two seeds, on two protocols."""
    for number, (width, seed, value) in enumerate([(1, 0, 2.0), (1, 1, 4.0), (2, 0, math.nan)]):
        protocol = {"split": "test", "binarisation": "fixed" if width == 1 else "dynamic"}
        write_run(tmp_path / "s", number, [f"model.width={width}", f"seed={seed}"], {"test/nll_bpd": value}, protocol)
    return tmp_path


def test_csv_has_numbers_and_the_protocol_in_columns(genexp, two_seeds):
    assert genexp("compare", "s", "--csv", "t.csv")[0] == 0
    with open("t.csv") as file:
        first, second = csv.DictReader(file)
    assert first["model.width"] == "1" and first["seeds"] == "2" and first["key"] == "test/nll_bpd"
    assert float(first["value"]) == 3.0 and float(first["sd"]) == pytest.approx(math.sqrt(2.0))
    assert float(first["stderr"]) == pytest.approx(1.0) and first["kind"] == "exact" and first["unit"] == "bits/dim"
    assert first["protocol.binarisation"] == "fixed" and second["protocol.binarisation"] == "dynamic"
    assert second["sd"] == "" and float(second["stderr"]) == 0.1 and second["value"] == "nan"


def test_json_has_the_same_rows(genexp, two_seeds):
    assert genexp("compare", "s", "--json", "t.json", "--csv", "t.csv")[0] == 0
    with open("t.json") as file:
        first, second = json.load(file, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert first["settings"] == {"model.width": "1"} and first["value"] == 3.0 and first["seeds"] == 2
    assert first["protocol"]["binarisation"] == "fixed" and second["value"] is None


def test_a_frame_has_a_row_for_each_run_and_value(genexp, two_seeds):
    frame = package.results("s")
    assert list(frame["value"][:2]) == [2.0, 4.0] and list(frame["seed"]) == [0, 0, 0]
    assert list(frame["model.width"]) == ["1", "1", "2"] and list(frame["run"]) == ["s/0-x", "s/1-x", "s/2-x"]
    assert list(frame["protocol.binarisation"]) == ["fixed", "fixed", "dynamic"]
    assert package.results([two_seeds / "s" / "0-x"])["stderr"].item() == 0.1


def test_no_frame_of_nothing(genexp, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no run"):
        package.results("empty")
