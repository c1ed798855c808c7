"""Whatever settings, SQL, manifests, events and arguments hold, nothing ends in a traceback."""

import json
import os
import subprocess
import sys
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path

import pytest
from found import FOUND
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shops import CLUSTERS, RULES, bought, call_sqlseg, new_shop
from targets import TARGETS

from sqlseg.resources import resource_root

EXAMPLE = (Path(__file__).parents[2] / "docs" / "sqlseg.example.toml").read_text(encoding="utf-8")
VIEWS = [path.read_text(encoding="utf-8") for path in sorted((resource_root("sql") / "features").glob("*.sql"))]
MANIFESTS = [
    json.loads((resource_root("onnx_models") / name / "manifest.json").read_text(encoding="utf-8"))
    for name in ("behavior_v2", "minilm_v1")
]
FEW = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
MANY = settings(FEW, max_examples=500)

# -- inputs that are nearly right find more than noise ---------------------------------------------------------------

VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.datetimes().map(datetime.isoformat)
)
JSON = st.recursive(VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner))
KEYS = sorted({line.split("=")[0].strip("# ") for line in EXAMPLE.splitlines() if "=" in line})
SECTIONS = sorted({line for line in EXAMPLE.splitlines() if line.startswith("[")})
WORDS = sorted({word for view in VIEWS for word in view.replace("(", " ( ").replace(")", " ) ").split()})


def toml_value(value):
    return json.dumps(value, ensure_ascii=False) if not isinstance(value, dict | type(None)) else "{}"


@st.composite
def settings_texts(draw):
    """Sections and keys that there are, with values of any type."""
    lines = []
    for section in draw(st.lists(st.sampled_from(SECTIONS), max_size=4, unique=True)):
        lines.append(section)
        keys = draw(st.lists(st.sampled_from(KEYS), max_size=4, unique=True))
        lines += [f"{key} = {toml_value(draw(JSON))}" for key in keys if "." not in key and '"' not in key]
    return "\n".join(lines).encode("utf-8", "replace")


@st.composite
def cut_and_pasted(draw, texts):
    """A text with a piece taken out, and another put in its place."""
    text = draw(st.sampled_from(texts))
    start = draw(st.integers(0, len(text)))
    end = draw(st.integers(start, min(len(text), start + 40)))
    piece = draw(
        st.text(max_size=10) | st.sampled_from(WORDS) | st.sampled_from(["'", '"', "/*", "--", "$$", "((", ";"])
    )
    return (text[:start] + piece + text[end:]).encode("utf-8", "replace")


@st.composite
def manifests(draw):
    """A shipped manifest with one value exchanged, somewhere."""
    told = json.loads(json.dumps(draw(st.sampled_from(MANIFESTS))))
    told["golden"]["rows"] = told["golden"]["rows"][:1]
    place, key = told, draw(st.sampled_from(sorted(told)))
    while isinstance(place[key], dict | list) and place[key] and draw(st.booleans()):
        place = place[key]
        key = draw(st.sampled_from(sorted(place)) if isinstance(place, dict) else st.integers(0, len(place) - 1))
    place[key] = draw(JSON)
    return json.dumps(told).encode()


INPUTS = {
    "settings": st.one_of(st.binary(max_size=200), settings_texts(), cut_and_pasted([EXAMPLE])),
    "sql": st.one_of(
        st.binary(max_size=200),
        cut_and_pasted(VIEWS),
        st.lists(st.sampled_from(WORDS), max_size=30).map(lambda words: " ".join(["select", *words]).encode()),
    ),
    "manifest": st.one_of(st.binary(max_size=200), manifests()),
    "onnx": st.one_of(
        st.binary(max_size=400), st.binary(max_size=40).map(lambda raw: b"\x3a" + bytes([len(raw)]) + raw)
    ),
}


@pytest.mark.parametrize("target", TARGETS)
def test_what_was_found_once_is_not_found_again(target):
    for data in FOUND[target]:
        TARGETS[target](data)


@pytest.mark.parametrize("target", TARGETS)
@FEW
@given(data=st.data())
def test_nothing_ends_in_a_traceback(target, data):
    TARGETS[target](data.draw(INPUTS[target]))


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
@MANY
@given(data=st.data())
def test_nothing_ends_in_a_traceback_in_many_tries(target, data):
    TARGETS[target](data.draw(INPUTS[target]))


# -- whole commands --------------------------------------------------------------------------------------------------

EVENTS = [bought("ann", "2024-03-01 10:00", 150), bought("bob", "2024-03-01 12:00", 50)]
ARGUMENTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["rfm@1", "tier", "--json", "--csv", "--sql", "--as-of", "--from", "-1", "nan", "select 1", "ann", ""]
    ),
)
COMMANDS = st.sampled_from(
    [
        ("plan",), ("query",), ("doctor",), ("check",), ("backtest",), ("features", "show"), ("features", "diff"),
        ("features", "list"), ("segments", "list"), ("segments", "show"), ("segments", "explain"), ("segments", "diff"),
        ("encoders", "list"), ("encoders", "manifest"),
    ]
)  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A shop that was refreshed; the commands below change nothing in it."""
    shop = new_shop(tmp_path_factory.mktemp("fuzzed") / "shop", EVENTS, RULES + CLUSTERS)
    shop.refresh()
    return shop


def answers(ran):
    assert ran.code in (0, 1, 2), ran
    assert "Traceback" not in ran.err + ran.out
    assert ran.code == 0 or ran.err or ran.out, "nobody is left without a word"


@settings(FEW, max_examples=25)
@given(command=COMMANDS, arguments=st.lists(ARGUMENTS, max_size=3))
def test_commands_answer_whatever_they_are_given(project, command, arguments):
    answers(call_sqlseg(*command, *arguments, "--project", str(project.directory)))


@pytest.mark.slow
@settings(MANY, max_examples=200)
@given(command=COMMANDS, arguments=st.lists(ARGUMENTS, max_size=3))
def test_commands_answer_whatever_they_are_given_in_many_tries(project, command, arguments):
    answers(call_sqlseg(*command, *arguments, "--project", str(project.directory)))


CELLS = st.one_of(
    st.none(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.text(max_size=8), st.booleans(),
    st.dates().map(str), st.datetimes().map(str), st.sampled_from(["ann", "2024-03-01", "purchase", "infinity"]),
)  # fmt: skip
ROWS = st.lists(
    st.fixed_dictionaries(dict.fromkeys(("user_id", "event_time", "event_type", "price", "quantity"), CELLS)),
    max_size=4,
)


@pytest.mark.slow
@settings(FEW, max_examples=40)
@given(rows=ROWS)
def test_a_refresh_of_any_content_answers(tmp_path_factory, rows):
    """Of JSON lines, whose types the database finds out by itself."""
    shop = new_shop(tmp_path_factory.mktemp("content") / "shop", EVENTS)
    shop.settings(RULES)
    plain = [
        json.dumps(row).replace("NaN", "null").replace("-Infinity", "null").replace("Infinity", "null") for row in rows
    ]
    shop.write("data/events.jsonl", "\n".join(plain) + "\n")
    shop.write("sql/events.sql", "select * from read_json('data/events.jsonl', format = 'newline_delimited')")
    ran = shop.sqlseg("refresh")
    answers(ran)
    if ran.code == 0:
        refused = shop.rows("select coalesce(sum(row_count), 0) from quality.rejection")[0][0]
        assert shop.rows("select count(*) from sqlseg.events")[0][0] + refused == len(rows)


RUNS = {"settings": 5000, "sql": 3000, "manifest": 20_000, "onnx": 20_000}
EXAMPLES = {
    "settings": [EXAMPLE[:1000].rpartition("\n")[0].encode()],
    "sql": [b"select user_id, sum(price) as x from events e where event_time < as_of() group by all"],
    "manifest": [
        json.dumps({key: told[key] for key in ("name", "version", "model", "output")}).encode() for told in MANIFESTS
    ],
    "onnx": [FOUND["onnx"][0]],
}

# -- guided by coverage ----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is not installed: pip install 'sqlseg[fuzz]'")
@pytest.mark.parametrize("target", TARGETS)
def test_nothing_is_found_by_following_what_the_code_does(target, tmp_path):
    begin = tmp_path / "begin"
    begin.mkdir()
    for number, example in enumerate(EXAMPLES[target]):
        (begin / str(number)).write_bytes(example)
    ran = subprocess.run(
        [
            sys.executable,
            str(Path(__file__).with_name("coverage_guided.py")),
            target,
            f"-runs={RUNS[target]}",
            "-seed=1",
            "-max_len=1024",
            str(begin),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert f"Done {RUNS[target]} runs" in ran.stderr
