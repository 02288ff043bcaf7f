import os

import pytest
from hydra import compose, initialize_config_module
from hydra.utils import instantiate


@pytest.fixture
def make_data():
    """Compose ``conf/data/<name>.yaml`` and instantiate it with the seed of a run and a batch size."""

    def make(name, *overrides):
        with initialize_config_module("genexp.conf", version_base="1.3"):
            config = compose(f"data/{name}", ["+seed=0", "+training.batch_size=64", *overrides])
        return instantiate(config.data)

    return make


@pytest.fixture
def data_root():
    """The folder with the published files; tests that need them are skipped without it."""
    root = os.environ.get("GENEXP_DATA")
    if root is None:
        pytest.skip("needs the published files: set GENEXP_DATA to the folder that holds them")
    return root
