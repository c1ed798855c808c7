"""HMAC-SHA256 as an SQL expression, for millions of ids at once."""

import hashlib

_BLOCK = 64


def keyed_hash(text: str) -> str:
    """Return the SQL of the HMAC-SHA256 of a VARCHAR expression, in hexadecimal digits (RFC 2104).

    The statement takes the parameters that `key_parameters` returns, so that no key ever stands in SQL.
    """
    return f"sha256($outer_pad::blob || unhex(sha256($inner_pad::blob || encode({text}))))"


def key_parameters(key: bytes) -> dict[str, bytes]:
    """Return the two pads of a key, which `keyed_hash` hashes with.

    >>> [len(pad) for pad in key_parameters(b"of any length").values()]
    [64, 64]
    """
    block = (hashlib.sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\0")
    return {"inner_pad": bytes(one ^ 0x36 for one in block), "outer_pad": bytes(one ^ 0x5C for one in block)}
