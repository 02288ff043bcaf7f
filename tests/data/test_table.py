"""Tables in text files, in folds."""

import numpy as np
import pytest
import torch

from genexp.data.table import read_table

ROWS = np.random.default_rng(0).normal(size=(50, 3)) * [1, 5, 0.1] + [0, 10, -3]


@pytest.fixture
def table(tmp_path, make_data):
    lines = ["a;b;c;kind", *(";".join(map(str, row)) + ";red" for row in ROWS.tolist())]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    chosen = ["data.columns=[a,2]", f"data.root={tmp_path}", "data.file=t.csv"]
    return lambda *overrides: make_data("table", *chosen, *overrides)


def test_folds_share_out_all_rows_and_columns_are_standardised_by_what_is_not_tested(table):
    tested = []
    for fold in range(10):
        data = table(f"data.fold={fold}", "data.standardise=false")
        parts = {split: data.tensors(split)[0] for split in ("train", "validation", "test")}
        assert [len(part) for part in parts.values()] == [40, 5, 5] and parts["test"].dtype == torch.float32
        assert torch.cat(list(parts.values()))[:, 0].sort().values.tolist() == pytest.approx(sorted(ROWS[:, 0]))
        tested.append(parts["test"])
        scaled = table(f"data.fold={fold}")
        rest = torch.cat([scaled.tensors("train")[0], scaled.tensors("validation")[0]])
        assert rest.mean(0).abs().max() < 1e-5 and (rest.std(0, correction=0) - 1).abs().max() < 1e-5
    assert torch.cat(tested)[:, 1].sort().values.tolist() == pytest.approx(sorted(ROWS[:, 2]))
    protocol = table("data.fold=3").protocol("test")
    assert protocol["fold"] == "3 of 10, seed 0" and protocol["columns"] == "a 2"


@pytest.mark.parametrize(
    "overrides, message",
    [
        (["data.columns=[d]"], r"has no column d; it has a, b, c, kind"),
        (["data.columns=[7]"], r"has the columns 0 to 3, and not 7"),
        (["data.columns=[kind]"], r"row 2: .*'red'; data.columns chooses"),
        (["data.shape=[3]"], r"data.shape=\[3\]: the examples of table have shape \[2\]"),
        (["data.file=u.csv"], r"u.csv is not there"),
        (["data.folds=60", "data.fold=55"], r"data.folds=60: t.csv has 50 rows, which leave a split empty"),
        (["data.fold=10"], r"data.fold=10: must be in"),
        (["data.file=null"], r"data.root and data.file must name a folder, and the file in it"),
    ],
)
def test_what_is_no_such_table_is_refused(table, overrides, message):
    with pytest.raises(Exception, match=message):
        table(*overrides).setup()


def test_tables_without_names_and_broken_ones(tmp_path):
    path = tmp_path / "t.txt"
    for text in ("1,2\n3,4\n", "1\t2\n\n3\t4", "1 2\n3 4", "x , y\n1, 2\n3, 4"):
        path.write_text(text)
        assert read_table(path, None).tolist() == [[1, 2], [3, 4]]
    path.write_text("1,2\n3")
    with pytest.raises(ValueError, match=r"t.txt, row 2: list index out of range"):
        read_table(path, None)
    path.write_text("1,nan")
    with pytest.raises(ValueError, match="not finite"):
        read_table(path, None)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="is no text file"):
        read_table(path, None)
    path.write_text("\n")
    with pytest.raises(ValueError, match="is empty"):
        read_table(path, None)
