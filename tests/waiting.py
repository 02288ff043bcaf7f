"""What tests of other processes share: their state, read from the run folders, and patience."""

import json
import time


def states(folder):
    """State of every run in a folder, by name."""
    return {path.parent.name: json.loads(path.read_text())["state"] for path in sorted(folder.glob("*/status.json"))}


def wait_until(condition, seconds=300):
    """Return once ``condition()`` is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.1)
