import pytest

from genexp.record.errors import ConfigError
from genexp.record.yaml_files import load_yaml

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join(['*' + old] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
REFUSED = {
    "aliases that swell": (BOMB, "aliases"),
    "an alias within itself": ("a: &a [*a]\n", "itself"),
    "a bracket that is not closed": ("a: 1\nb: [1, 2\n", r":3:1: "),
    "a tab": ("a:\n\t- 1\n", r":2:1: "),
    "a key twice": ("a: 1\na: 2\n", "duplicate key a"),
    "a Python object": ("a: !!python/object/apply:os.system [true]\n", "python/object"),
    "depth": ("[" * 20_000, "deeply"),
    "a number of too many digits": (f"a: {'9' * 5000}\n", "digits"),
    "an interpolation that is not closed": ("a: ${b\n", "b"),
}


@pytest.mark.parametrize("text, says", REFUSED.values(), ids=REFUSED)
def test_refused_in_one_line_that_names_the_file(text, says, tmp_path):
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(ConfigError, match=says) as found:
        load_yaml(tmp_path / "x.yaml")
    assert str(found.value).startswith(f"{tmp_path}/x.yaml") and "\n" not in str(found.value)


def test_what_is_no_text_or_no_file(tmp_path):
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "large.yaml").write_text("a: 1\n" * 1_000_000)
    for name in ("x.yaml", "large.yaml", "none.yaml", "."):
        with pytest.raises(ConfigError, match=str(tmp_path)):
            load_yaml(tmp_path / name)


def test_ordinary_aliases_and_merges_are_read(tmp_path):
    (tmp_path / "x.yaml").write_text("a: &a {x: 1, y: [1, 2]}\nb: {<<: *a, x: 2}\nc: *a\n")
    assert load_yaml(tmp_path / "x.yaml") == {
        "a": {"x": 1, "y": [1, 2]},
        "b": {"x": 2, "y": [1, 2]},
        "c": {"x": 1, "y": [1, 2]},
    }
