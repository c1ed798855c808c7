"""Inputs that once ended in a traceback, or in an endless search, by target; each is tried again with every run."""

FOUND: dict[str, tuple[bytes, ...]] = {
    "settings": (
        b"a = " + b"[" * 5000,
        b"a = " + b"[" * 5000 + b"]" * 5000,
        b"[project]\nseed = " + b"9" * 5000,
        b'[warehouse]\npath = "~nobody-at-all/x"',
        b'[warehouse]\npath = "' + b"x" * 5000 + b'"',
        b"[events]\nexported_at = 0001-01-01T00:00:00+14:00",
        b'[segmentations.x]\nkind = "cluster"\ninputs = ["rfm@1' + b"0" * 5000 + b'"]',
    ),
    "sql": (
        b"select " + b"(" * 3000 + b"1" + b")" * 3000,
        b"select " + b"abs(" * 300 + b"1" + b")" * 300,
        b"select " + b"1+1-" * 300 + b"1",
        b"select " + b"a" + b".b" * 500,
        b" union all ".join([b"select 1"] * 900),
        b"select 1 \0 from t",
        b"select",
    ),
    "manifest": (b"[" * 5000 + b"]" * 5000, b'{"version": ' + b"9" * 5000 + b"}"),
    "onnx": (
        # A tensor that is said to lie elsewhere, without where.
        b":\x13*\x11B\x01wj\x0c\n\x08location",
        b"\xff" * 5000,
    ),
}
