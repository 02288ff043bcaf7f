"""Keys of values."""

from hypothesis import given
from hypothesis import strategies as st

from genexp.record.values import UNITS, Value

SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "k": st.integers(1, 10**5),
        "extractor": st.sampled_from(["inception", "mnistcnn", "vgg16"]),
        "n": st.integers(1, 10**6),
    },
)
VALUES = st.builds(
    Value,
    quantity=st.sampled_from(["nll", "elbo", "fid", "kid", "active_units"]),
    split=st.sampled_from(["train", "validation", "test"]),
    unit=st.sampled_from(list(UNITS)),
    kind=st.sampled_from(["exact", "bound"]),
    settings=SETTINGS,
    value=st.floats(),
    direction=st.sampled_from(["min", "max", None]),
    n=st.integers(0),
    stderr=st.none() | st.floats(),
    protocol=st.just({}),
)


def fields(value):
    return value.quantity, value.split, value.unit, value.kind, list(value.settings.items())


@given(a=VALUES, b=VALUES)
def test_a_key_belongs_to_one_combination_of_fields(a, b):
    assert (a.key == b.key) == (fields(a) == fields(b))
    assert a.record()["key"] == a.key and not set(a.key) & set(" \n=,")


@given(a=VALUES, n=st.integers(1, 10**6), m=st.integers(1, 10**6))
def test_numbers_of_samples_are_told_apart(a, n, m):
    def key(samples):
        return Value(**{**vars(a), "settings": {"n": samples}}).key

    assert (key(n) == key(m)) == (n == m)
