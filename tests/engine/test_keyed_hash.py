"""The HMAC that SQL computes is that of Python's standard library."""

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlseg.engine.duckdb import Engine
from sqlseg.engine.keyed_hash import key_parameters, keyed_hash


def in_sql(engine, key, text):
    return engine.value(f"select {keyed_hash('$text')}", {**key_parameters(key), "text": text})


@pytest.fixture(scope="module")
def engine():
    with Engine.open(None) as opened:
        yield opened


@given(
    key=st.binary(min_size=1, max_size=200),
    text=st.text(alphabet=st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=200),
)
def test_it_is_that_of_the_standard_library(engine, key, text):
    assert in_sql(engine, key, text) == hmac.digest(key, text.encode(), "sha256").hex()


def test_it_is_that_of_the_standard():
    # RFC 4231, test cases 2 and 6: a short key, and one longer than a block.
    with Engine.open(None) as engine:
        assert in_sql(engine, b"Jefe", "what do ya want for nothing?") == (
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        )
        assert in_sql(engine, b"\xaa" * 131, "Test Using Larger Than Block-Size Key - Hash Key First") == (
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        )
        assert engine.value(f"select {keyed_hash('null::varchar')}", key_parameters(b"k")) is None
