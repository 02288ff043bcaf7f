"""Finding, verifying and downloading files, and what the errors say."""

import gzip
import hashlib

import pytest

from genexp.data.files import RemoteFile, locate, read

CONTENT = b"0 1 0 1\n" * 100


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GENEXP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "published" / "bits.amat"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    return RemoteFile("bits", "bits.amat", path.as_uri(), hashlib.sha256(CONTENT).hexdigest())


def test_downloads_into_the_cache_once(source, cache, tmp_path):
    path = locate(source, root=None)
    assert path == cache / "bits" / "bits.amat" and path.read_bytes() == CONTENT
    (tmp_path / "published" / "bits.amat").unlink()
    assert locate(source, root=None) == path
    assert [p.name for p in path.parent.iterdir()] == ["bits.amat"]  # no temporary files stay


def test_the_users_folder_comes_first_and_may_hold_a_gzipped_copy(source, cache, tmp_path):
    locate(source, root=None)
    mine = tmp_path / "mine" / "bits" / "bits.amat.gz"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(gzip.compress(CONTENT))
    assert locate(source, root=tmp_path / "mine") == mine
    assert read(mine) == CONTENT


def test_a_wrong_download_leaves_nothing_behind(source, cache):
    wrong = RemoteFile("bits", "bits.amat", source.url, "0" * 64)
    with pytest.raises(ValueError, match=rf"{source.url} has sha256 {source.sha256}.*{'0' * 64}.*run again"):
        locate(wrong, root=None)
    assert list((cache / "bits").iterdir()) == []


@pytest.mark.parametrize(
    "name, content", [("bits.amat", CONTENT[1:]), ("bits.amat.gz", gzip.compress(CONTENT, mtime=0)[:-9])]
)
def test_a_damaged_file_is_refused(source, cache, tmp_path, name, content):
    path = tmp_path / "mine" / "bits" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{path} has sha256 .*{source.sha256}.*delete it and run again"):
        locate(source, root=tmp_path / "mine")


def test_a_missing_root_is_named(source, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"data\.root='.*absent'.*GENEXP_DATA") as error:
        locate(source, root=tmp_path / "absent")
    assert "\n" not in str(error.value)


def test_a_missing_file_says_where_it_was_looked_for_and_what_to_do(cache, tmp_path):
    url = (tmp_path / "nowhere.gz").as_uri()
    with pytest.raises(FileNotFoundError) as error:
        locate(RemoteFile("mnist", "nowhere.gz", url, "0" * 64), root=tmp_path)
    for part in (f"{tmp_path}/mnist", f"{cache}/mnist", url, "data.root", "GENEXP_DATA", "mnist/nowhere.gz"):
        assert part in str(error.value)
    assert "\n" not in str(error.value)
