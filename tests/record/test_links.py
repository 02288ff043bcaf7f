import pytest

from genexp.record.errors import ConfigError
from genexp.record.folder import RunFolder


@pytest.mark.parametrize("name", [".lock", "log.txt", "curves.png", "samples/final.png"])
def test_nothing_is_written_through_a_link(name, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    link = tmp_path / "x" / name
    link.parent.mkdir(parents=True)
    link.symlink_to(victim)
    with pytest.raises(ConfigError, match="is a link"), RunFolder(tmp_path / "x").lock():
        pass
    assert victim.read_text() == "precious" and link.is_symlink()


def test_folders_may_lie_elsewhere(tmp_path):
    (tmp_path / "scratch").mkdir()
    (tmp_path / "x").mkdir()
    (tmp_path / "x/checkpoints").symlink_to(tmp_path / "scratch")
    (tmp_path / "y").symlink_to(tmp_path / "x")
    with RunFolder(tmp_path / "y").lock():
        assert (tmp_path / "x/.lock").is_file()
