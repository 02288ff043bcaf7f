import pytest
from tiny_overrides import NETS, TINY


@pytest.fixture
def tiny():
    """Overrides for a run of a second."""
    return lambda model, *more: ["train", f"model={model}", *TINY, *NETS[model], *more]
