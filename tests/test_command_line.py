"""The words of a command: options anywhere, and what is done with a folder of another version."""

import json

import pytest

from genexp import __version__
from genexp.command_line import check_options, literal_names, options_and_overrides, without_config_dir
from genexp.record.errors import ConfigError


@pytest.mark.parametrize(
    ("words", "ordered"),
    [
        ("a=1 -m b=2", "-m a=1 b=2"),
        ("a=1 --cfg job b=2 --config-dir mine c=3", "--cfg job --config-dir mine a=1 b=2 c=3"),
        ("a=1 --config-dir=mine b=-", "--config-dir=mine a=1 b=-"),
        ("a=1 --info b=2", "--info all a=1 b=2"),
        ("--info defaults a=1 ~b", "--info defaults a=1 ~b"),
        ("a=1 -cd", "-cd a=1"),
    ],
)
def test_options_come_first_with_their_values(words, ordered):
    options, overrides = options_and_overrides(words.split())
    assert [*options, *overrides] == ordered.split()


@pytest.mark.parametrize(
    ("word", "literal"),
    [
        ("name=2024_01", "name='2024_01'"),
        ("name=500", "name='500'"),
        ("name=null", "name='null'"),
        ("name=a-b.c", "name=a-b.c"),
        ("name=it's", r"name='it\'s'"),
        ("name='500'", "name='500'"),
        ("group=1e3", "group='1e3'"),
        ("group=null", "group=null"),
        ("tags=[a,2024_01]", "tags=['a','2024_01']"),
        ("tags=[a,b]", "tags=[a,b]"),
        ("seed=500", "seed=500"),
        ("name=a,b", "name=a,b"),
    ],
)
def test_names_are_text(word, literal):
    assert literal_names([word]) == [literal]


@pytest.mark.parametrize("name", ["", " ", "..", "../../x", "a/b", "/x", "-x", "x" * 300, "a\tb", "a\x1bb"])
def test_a_name_is_that_of_one_folder(name):
    with pytest.raises(ConfigError, match="name"):
        literal_names([f"name={name}"])


def test_options_are_known():
    check_options(["a=1", "-m", "--cfg", "job", "--multi", "--config-dir=x", "b=-"])
    for words, message in {
        "--multirn": "--multirn: there is no such option. Did you mean '--multirun'?",
        "--config-dri x": "Did you mean '--config-dir'?",
        "--cfg jbo": "--cfg=jbo: must be one of job, hydra, all. Did you mean 'job'?",
        "--config-dir": "--config-dir needs a value",
    }.items():
        with pytest.raises(ConfigError) as error:
            check_options(words.split())
        assert message in str(error.value)


def test_a_verb_that_composes_nothing_needs_no_config_folder():
    words = "outputs/a --config-dir mine name=b --config-dir=other -cd x seed=1"
    assert without_config_dir(words.split()) == ["outputs/a", "name=b", "seed=1"]


def test_overrides_stand_on_both_sides_of_an_option(genexp):
    for words in (
        ["train", "model=vae", "--cfg", "job", "data=digits"],
        ["train", "--cfg", "job", "model=vae", "data=digits"],
        ["model=vae", "--cfg", "job", "data=digits"],
    ):
        code, out, err = genexp(*words)
        assert code == 0 and "genexp.families.vae.VAE" in out and "name: digits" in out, err


def test_a_folder_of_an_earlier_version_names_the_commit_that_reads_it(finished, genexp):
    finished("made", "metrics=nll", "name=a")
    path = genexp.folder / "outputs/a/status.json"
    status = json.loads(path.read_text())
    assert status["versions"]["genexp"] == __version__
    status["versions"]["genexp"], status["git"] = "0.1.0", {"commit": "abc123"}
    path.write_text(json.dumps(status))
    for words in (["evaluate", "run=outputs/a"], ["sample", "run=outputs/a"], ["train", "run=outputs/a"]):
        code, _, err = genexp(*words)
        assert code == 2 and "written by genexp 0.1.0" in err and "commit abc123" in err and err.count("\n") == 1
    code, out, err = genexp("compare", "outputs/a")
    assert code == 2 and "left out" in out and "commit abc123" in out
