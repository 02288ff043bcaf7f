import pytest


def write_run(root, number, overrides, values, protocol=None, logger="none"):
    """A run folder as ``genexp train`` leaves it, with the given values."""
    import json

    from omegaconf import OmegaConf

    folder = root / f"{number}-x"
    (folder / ".hydra").mkdir(parents=True)
    config = {"seed": 0, "name": "x", "model": {"width": 1}, "data": {"name": "digits", "seed": 0}}
    config = OmegaConf.merge(config, OmegaConf.from_dotlist(overrides))
    for name in ("config", "resolved"):
        (folder / ".hydra" / f"{name}.yaml").write_text(OmegaConf.to_yaml(config))
    (folder / ".hydra" / "choices.yaml").write_text(OmegaConf.to_yaml({"model": "made", "logger": logger}))
    records = [
        {
            "key": key, "value": value, **fields_of(key),
            "direction": {"test/is_x_1k": "max", "test/z": None}.get(key, "min"), "n": 10, "stderr": 0.1,
            "protocol": protocol or {"split": "test"},
            "checkpoint": "best", "ema": False, "seed": 0,
        }
        for key, value in values.items()
    ]  # fmt: skip
    (folder / "metrics.json").write_text(json.dumps(records))


def fields_of(key):
    """What the keys of these tests stand for."""
    split, _, name = key.partition("/")
    quantity, *words = name.split("_")
    unit = "bits/dim" if "bpd" in words else "nats" if "nats" in words else ""
    settings = dict((word[0], int(word[1:])) for word in words if word[0] == "k")
    kind = "bound" if "bound" in words else "exact"
    return {"split": split, "quantity": quantity, "unit": unit, "kind": kind, "settings": settings}


def table(genexp, *arguments):
    """The table as ``genexp compare`` prints it: a list of cells for each row, and all that was printed."""
    code, out, err = genexp("compare", *arguments)
    assert code == 0, err
    rows = [[cell.strip() for cell in line.strip("│┃").split(line[0])] for line in out.splitlines() if line[:1] in "│┃"]
    heads, names, *lines = [row[1:-1] if row[0] == "" == row[-1] else row for row in rows]
    return [[" ".join(filter(None, pair)) for pair in zip(heads, names, strict=True)], *lines], out


def test_seeds_are_aggregated_and_only_differences_are_shown(genexp, tmp_path):
    for number, (width, seed, value) in enumerate([(1, 0, 2.0), (1, 1, 4.0), (2, 0, 1.0), (2, 1, 2.0)]):
        write_run(tmp_path / "s", number, [f"model.width={width}", f"seed={seed}"], {"test/nll_bpd": value})
    rows, _out = table(genexp, "s")
    assert rows[0] == ["width", "seeds", "nll ↓ bpd"]
    assert rows[1] == ["1", "2", "3.0 ± 1.4"] and rows[2] == ["2", "2", "1.50 ± 0.71 *"]


def test_how_a_run_was_logged_does_not_make_it_another_configuration(genexp, tmp_path):
    write_run(tmp_path / "s", 0, ["seed=0"], {"test/nll_bpd": 2.0}, logger="none")
    write_run(tmp_path / "s", 1, ["seed=1"], {"test/nll_bpd": 4.0}, logger="wandb")
    rows, _ = table(genexp, "s")
    assert len(rows) == 2 and rows[1][1:] == ["2", "3.0 ± 1.4"]


def test_bounds_are_marked_and_not_ranked_with_exact_values(genexp, tmp_path):
    write_run(tmp_path / "s", 0, ["model.width=1"], {"test/nll_bpd": 3.0})
    write_run(tmp_path / "s", 1, ["model.width=2"], {"test/nll_bound_bpd_k1": 2.0})
    rows, _ = table(genexp, "s")
    assert rows[0][2:] == ["nll ↓ bpd", "nll ↓ bound_bpd_k1"]
    assert rows[1][2:] == ["3.00 ± 0.10", "-"] and rows[2][2:] == ["-", "≤ 2.00 ± 0.10"]  # and no best mark


def test_unlike_protocols_stand_in_different_columns(genexp, tmp_path):
    for number, binarisation in enumerate(["fixed", "dynamic", "dynamic"]):
        protocol = {"split": "test", "binarisation": binarisation}
        write_run(tmp_path / "s", number, [f"model.width={number}"], {"test/nll_bpd": 3.0 - number}, protocol)
    rows, out = table(genexp, "s")
    assert rows[0][2:] == ["nll ↓ bpd [1]", "nll ↓ bpd [2]"]
    assert rows[1][2:] == ["3.00 ± 0.10", "-"] and rows[3][2:] == ["-", "1.00 ± 0.10 *"]
    assert "binarisation fixed" in out and "binarisation dynamic" in out


def test_larger_is_better_where_it_is(genexp, tmp_path):
    for number, value in enumerate([5.0, 7.0]):
        write_run(tmp_path / "s", number, [f"model.width={number}"], {"test/is_x_1k": value})
    rows, _ = table(genexp, "s")
    assert rows[2][-1].endswith("*") and not rows[1][-1].endswith("*")


def test_no_value_is_best_where_neither_small_nor_large_is_better(genexp, tmp_path):
    for number, value in enumerate([-5.0, 7.0]):
        write_run(tmp_path / "s", number, [f"model.width={number}"], {"test/z": value, "test/nll_bpd": value})
    rows, out = table(genexp, "s")
    assert [row[2:] for row in rows[1:]] == [["-5.00 ± 0.10", "-5.00 ± 0.10 *"], ["7.00 ± 0.10", "7.00 ± 0.10"]]
    assert "nll ↓" in out and "z ↓" not in out and "z ↑" not in out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [(["outputz"], "not a folder"), (["empty"], "holds no run"), (["s", "--metrics", "fdi"], "no metric")],
)
def test_wrong_input_is_told_in_one_line(genexp, tmp_path, arguments, expected):
    (tmp_path / "empty").mkdir()
    write_run(tmp_path / "s", 0, [], {"test/nll_bpd": 3.0})
    code, _, err = genexp("compare", *arguments)
    assert code == 2 and expected in err and err.count("\n") == 1
