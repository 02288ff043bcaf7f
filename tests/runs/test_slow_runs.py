"""Longer checks: the published number through the real command."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.skipif("GENEXP_DATA" not in os.environ, reason="needs the published files: set GENEXP_DATA")
def test_made_on_uci_dna_is_reproduced(tmp_path):
    command = [sys.executable, "-m", "genexp", "train", "experiment=made_uci_dna", "name=dna"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, done.stderr
    assert "PASS" in done.stdout
