"""Malformed commands are refused in one line that names the key, with the nearest name for a typo, and leave nothing behind."""

import pytest
from torture.malformed import Case, attempt, cases, one_edit, summary

FEW = 10


@pytest.fixture
def quiet_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("GENEXP_CONFIG_DIR", "GENEXP_ALLOW_TARGETS"):
        monkeypatch.delenv(name, raising=False)


def _refused(chosen):
    figures = summary([attempt(case) for case in chosen])
    assert not figures["accepted"] and not figures["bad"], figures
    assert figures["nearest_right"] >= 0.97 * figures["typos"], figures["far"]


def test_some_malformed_commands(quiet_folder):
    everything = cases()
    assert len(everything) > 1_500 and len({case.kind for case in everything}) == 5
    _refused(everything[:FEW])


@pytest.mark.slow
def test_all_malformed_commands(quiet_folder):
    _refused(cases())


def test_what_is_right_is_no_refusal(quiet_folder):
    outcome = attempt(Case(("train", "--cfg", "job", "model=vae", "model.beta=0"), "model.beta"))
    assert outcome.code == 0 and not outcome.one_line and not outcome.folder_left


def test_an_edit_is_one_edit():
    import random

    from genexp.record.errors import edits

    draws = random.Random(1)
    assert all(edits("model.network", one_edit("model.network", draws)) == 1 for _ in range(50))
