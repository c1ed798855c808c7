"""sqlseg.toml in, settings or one worded error out."""

import tomllib
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlseg.settings import InputRef, InvalidSettings, NoProject, Settings, load_settings, setting_problem
from sqlseg.settings.toml_lines import KeyPath, dotted, key_lines

CONTRACT = """\
[project]
name = "shop"
timezone = "Europe/London"            # where days begin
country = "GB"
seed = 7

[warehouse]
path = "warehouse.duckdb"
published = "published/customer_segments.duckdb"
memory_limit = "4GB"
threads = 2

[sources.crm]
type = "duckdb"
path = "crm.duckdb"

[events]
sql = "sql/events.sql"
paths = ["data/"]
max_quantity = 1000
exported_at = 2026-07-01T00:00:00
overlap = "90 Minutes"

[segmentations.behavior]
kind = "cluster"
inputs = ["rfm@1", "cadence@1", "encoder:behavior@1"]
algorithm = "kmeans"
k = "auto"
refit = "drift"
weights = { "encoder:behavior@1" = 0.5 }

[segmentations.value]
kind = "rules"
sql = "sql/segments/value.sql"

[encoders.behavior]
device = "auto"

[features]
publish = ["rfm@1"]
"""

SUPERVISED = '[segmentations.a]\nkind = "supervised"\ninputs = ["rfm@1"]\nlabels = "sql/segments/value.sql"\n'

Load = Callable[[str], Settings]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    for name in ("sql/events.sql", "sql/segments/value.sql", "crm.duckdb"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "data").mkdir()
    return tmp_path


@pytest.fixture
def load(shop: Path) -> Load:
    def written(text: str) -> Settings:
        (shop / "sqlseg.toml").write_text(text, encoding="utf-8")
        return load_settings(shop)

    return written


def problems(load: Load, text: str) -> list[tuple[int, str, str]]:
    with pytest.raises(InvalidSettings) as caught:
        load(text)
    return [(problem.line, problem.key, problem.message) for problem in caught.value.problems]


def test_every_documented_setting_is_read(load: Load, shop: Path) -> None:
    settings = load(CONTRACT)
    assert (settings.project.name, settings.project.timezone, settings.project.country) == (
        "shop",
        "Europe/London",
        "GB",
    )
    assert settings.project.seed == 7
    assert settings.warehouse.path == shop / "warehouse.duckdb"
    assert settings.warehouse.published == shop / "published/customer_segments.duckdb"
    assert (settings.warehouse.memory_limit, settings.warehouse.threads) == ("4GB", 2)
    assert settings.sources["crm"].path == str(shop / "crm.duckdb")
    assert (settings.events.sql, settings.events.paths) == (shop / "sql/events.sql", (shop / "data",))
    assert settings.events.max_quantity == 1000
    assert settings.events.exported_at == datetime(2026, 6, 30, 23)  # midnight in London's summer, as UTC
    assert settings.events.overlap == timedelta(minutes=90)
    behavior, value = settings.segmentations["behavior"], settings.segmentations["value"]
    assert behavior.kind == "cluster" and value.kind == "rules"
    assert behavior.inputs[2] == InputRef("encoder", "behavior", 1)
    assert [str(one) for one in behavior.inputs] == ["rfm@1", "cadence@1", "encoder:behavior@1"]
    assert (behavior.algorithm, behavior.k, behavior.k_min, behavior.k_max, behavior.refit) == (
        "kmeans", "auto", 4, 12, "drift",
    )  # fmt: skip
    assert dict(behavior.weights) == {"encoder:behavior@1": 0.5}
    assert value.sql == shop / "sql/segments/value.sql"
    assert settings.encoders["behavior"].device == "auto"
    assert settings.features.publish == (InputRef("features", "rfm", 1),)
    assert settings.file == shop / "sqlseg.toml"


def test_defaults_of_an_empty_file(load: Load, shop: Path) -> None:
    settings = load("")
    assert settings.project.name == shop.name
    assert (settings.project.timezone, settings.project.country, settings.project.seed) == ("UTC", None, 0)
    assert settings.events.paths == (shop,)
    assert (settings.events.max_quantity, settings.events.exported_at) == (None, None)
    assert settings.events.overlap == timedelta(hours=1)
    assert settings.features.publish == "all"
    assert not settings.segmentations and not settings.sources and not settings.encoders


def test_paths_do_not_depend_on_the_working_directory(
    load: Load, shop: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    absolute = load(CONTRACT)
    monkeypatch.chdir(shop.parent)
    assert load_settings(Path(shop.name)) == absolute
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert load_settings(shop) == absolute


def test_settings_are_frozen(load: Load) -> None:
    settings = load(CONTRACT)
    with pytest.raises(ValueError, match="frozen"):
        settings.project.seed = 1
    with pytest.raises(TypeError):
        settings.sources["other"] = settings.sources["crm"]  # type: ignore[index]


def test_a_file_from_windows_is_read(shop: Path) -> None:
    (shop / "sqlseg.toml").write_bytes(b"\xef\xbb\xbf" + CONTRACT.replace("\n", "\r\n").encode())
    assert load_settings(shop).project.seed == 7


def test_no_project(tmp_path: Path) -> None:
    with pytest.raises(NoProject) as caught:
        load_settings(tmp_path)
    assert str(tmp_path) in caught.value.message and "sqlseg init" in (caught.value.hint or "")
    (tmp_path / "sqlseg.toml").write_text("")
    with pytest.raises(NoProject) as caught:
        load_settings(tmp_path / "sql")
    assert "no folder" in caught.value.message and f"--project {tmp_path}" in (caught.value.hint or "")


def test_all_problems_come_in_one_message_in_the_order_of_the_file(load: Load) -> None:
    with pytest.raises(InvalidSettings) as caught:
        load('[project]\ntimezone = "Mars"\nseed = -1\n\n[segmentation.behaviour]\nkind = "cluster"\n')
    assert [line.split("sqlseg.toml:")[1] for line in caught.value.message.splitlines()[1:]] == [
        "2: project.timezone: must be the name of a time zone such as \"Europe/London\", got 'Mars'",
        "3: project.seed: must be at least 0, got -1",
        "5: segmentation.behaviour: unknown key; did you mean segmentations?",
    ]
    assert caught.value.message.startswith("3 problems")


@pytest.mark.parametrize(
    ("text", "line", "key", "message"),
    [
        ('[warehouse]\nmemory = "4GB"', 2, "warehouse.memory", "did you mean memory_limit?"),
        ('[warehouse]\nmemory_limit = "4 gigs"', 2, "warehouse.memory_limit", 'such as "4GB"'),
        ('[warehouse]\nmemory_limit = "0GB"', 2, "warehouse.memory_limit", 'such as "4GB"'),
        ("[warehouse]\nthreads = 0", 2, "warehouse.threads", "must be at least 1, got 0"),
        ("[warehouse]\nthreads = '2'", 2, "warehouse.threads", "must be a whole number, got '2'"),
        ('[warehouse]\npublished = "warehouse.duckdb"', 2, "warehouse.published", "another file than warehouse.path"),
        ('[warehouse]\npath = "data"', 2, "warehouse.path", "is a folder"),
        ("project = 'shop'", 1, "project", "must be a table, got 'shop'"),
        ('[project]\ntimezone = "europe/london"', 2, "project.timezone", "did you mean Europe/London?"),
        ('[project]\ntimezone = "Europe"', 2, "project.timezone", "got 'Europe'"),
        ('[project]\ncountry = "gb"', 2, "project.country", "did you mean GB?"),
        ('[project]\ncountry = "XX"', 2, "project.country", "ISO 3166"),
        ("[project]\nseed = true", 2, "project.seed", "must be a whole number, got True"),
        ('[sources.crm]\ntype = "duckdb"\npath = "cmr.duckdb"', 3, "sources.crm.path", "there is no file"),
        ('[sources.crm]\ntype = "mysql"\npath = "crm.duckdb"', 2, "sources.crm.type", '"sqlite" or "postgres"'),
        ("[sources.crm]\n", 1, "sources.crm.path", "is missing"),
        ('[sources.features]\npath = "crm.duckdb"', 1, "sources.features", "call the source features_source"),
        ('[sources.crm]\npath = "warehouse.duckdb"', 2, "sources.crm.path", "is the warehouse itself"),
        ('[events]\nsql = "sql/event.sql"', 2, "events.sql", "did you mean events.sql?"),
        ('[events]\nsql = "../events.sql"', 2, "events.sql", "within the project"),
        ('[events]\npaths = [\n  "data",\n  "date",\n]', 4, "events.paths[1]", "does not exist"),
        ('[events]\npaths = ["crm.duckdb"]', 2, "events.paths[0]", "is a file; name its folder"),
        ('[events]\npaths = "data"', 2, "events.paths", "must be a list"),
        ("[events]\nmax_quantity = nan", 2, "events.max_quantity", "number"),
        ("[events]\nmax_quantity = 0", 2, "events.max_quantity", "must be greater than 0"),
        ("[events]\nexported_at = 2026-01-31", 2, "events.exported_at", "2026-01-31T23:59:59"),
        ('[events]\nexported_at = "soon"', 2, "events.exported_at", "got 'soon'"),
        ('[events]\noverlap = "a while"', 2, "events.overlap", "or \"2 days\", got 'a while'"),
        ("[events]\noverlap = 60", 2, "events.overlap", "got 60"),
        ('[segmentations.a]\nkind = "cluster"\ninputs = ["rfm@1",\n "cadence"]', 4, "segmentations.a.inputs[1]",
         "write cadence@1"),
        ('[segmentations.a]\nkind = "cluster"\ninputs = ["rfm@1", "rfm@2"]', 3, "segmentations.a.inputs", "twice"),
        ('[segmentations.a]\nkind = "cluster"\ninputs = []', 3, "segmentations.a.inputs", "at least one"),
        ('[segmentations.a]\nkind = "cluster"', 1, "segmentations.a.inputs", "is missing"),
        ('[segmentations.a]\nkind = "cluster"\ninputs = ["rfm@1"]\nk = 0', 4, "segmentations.a.k", '"auto" or a whole'),
        ('[segmentations.a]\nkind = "cluster"\ninputs = ["rfm@1"]\nk_max = 2', 4, "segmentations.a.k_max",
         "at least k_min, which is 4"),
        ('[segmentations.a]\nkind = "cluster"\ninputs = ["rfm@1"]\nrefit = "alway"', 4, "segmentations.a.refit",
         "did you mean always?"),
        ('[segmentations.a]\nkind = "cluster"\ninputs = ["rfm@1"]\nweights.rfm = 2', 4, "segmentations.a.weights",
         "none of the inputs (rfm@1)"),
        ('[segmentations.a]\nkind = "cluster"\ninputs = ["rfm@1"]\n[segmentations.a.drift]\npsii = 0.3', 5,
         "segmentations.a.drift.psii", "did you mean psi?"),
        ('[segmentations.a]\nkind = "cluster"\ninputs = ["rfm@1"]\n[segmentations.a.drift]\nage = 3', 5,
         "segmentations.a.drift.age", "valid here: psi, ks, share, far, days"),
        ('[segmentations.a]\nkind = "cluster"\ninputs = ["rfm@1"]\ndrift = { ks = 2 }', 4, "segmentations.a.drift.ks",
         "must be at most 1"),
        ('[segmentations.a]\nkind = "cluster"\ninputs = ["rfm@1"]\ndrift = { days = 0.5 }', 4,
         "segmentations.a.drift.days", "must be a whole number"),
        ('[segmentations.a]\nkind = "cluster"\ninputs = ["rfm@1"]\nsql = "x"', 4, "segmentations.a.sql", "unknown key"),
        ('[segmentations.a]\nkind = "supervised"\ninputs = ["rfm@1"]', 1, "segmentations.a.labels", "is missing"),
        (SUPERVISED + 'select = "mutual"', 5, "segmentations.a.select",
         'must be "none", "mutual_information" or "chi_squared", got \'mutual\''),
        (SUPERVISED + 'keep = 10', 5, "segmentations.a.keep", "nothing chooses them: add select"),
        (SUPERVISED + 'select = "chi_squared"\nkeep = 1.5', 6, "segmentations.a.keep",
         "must be a number of features, such as 10, or a share between 0 and 1, such as 0.5, got 1.5"),
        (SUPERVISED + 'projection = "umap"', 5, "segmentations.a.projection", 'must be "none", "pca" or "lda"'),
        (SUPERVISED + 'correlation_limit = 0', 5, "segmentations.a.correlation_limit", "must be greater than 0"),
        ('[segmentations.a]\nkind = "supervised"\ninputs = ["rfm@1"]\nlabels = "sql/none.sql"', 4,
         "segmentations.a.labels", "there is no file"),
        ('[segmentations.a]\nkind = "rule"', 1, "segmentations.a", "did you mean rules?"),
        ("[segmentations.a]\n", 1, "segmentations.a", "is missing its kind"),
        ("[segmentations]\na = 3", 2, "segmentations.a", "must be a table"),
        ('[segmentations.a]\nkind = "rules"\nsql = "sql/segments/rfm.sql"', 3, "segmentations.a.sql", "has value.sql"),
        ('[segmentations.a_v2]\nkind = "rules"\nsql = "sql/segments/value.sql"', 1, "segmentations.a_v2", "call"),
        ('[segmentations.drift]\nkind = "rules"\nsql = "sql/segments/value.sql"', 1, "segmentations.drift",
         "call it drift_groups"),
        ('[segmentations.Big]\nkind = "rules"\nsql = "sql/segments/value.sql"', 1, "segmentations.Big", "lower-case"),
        ('[encoders.behavior]\ndevice = "gpu"', 2, "encoders.behavior.device", 'must be "auto", "cpu" or "cuda"'),
        ("[encoders.behavior]\ndevise = 'cpu'", 2, "encoders.behavior.devise", "did you mean device?"),
        ('[features]\npublish = ["encoder:behavior@1"]', 2, "features.publish", 'must be "all" or a list'),
        ('[features]\npublish = ["rfm"]', 2, "features.publish", "write rfm@1"),
        ("name = 'shop'\n[project]\nseed = 1", 1, "name", "valid here: project, warehouse"),
    ],
)  # fmt: skip
def test_one_problem(load: Load, text: str, line: int, key: str, message: str) -> None:
    [(found_line, found_key, found_message)] = problems(load, text)
    assert (found_line, found_key) == (line, key)
    assert message in found_message


def test_syntax_errors_show_their_line(load: Load) -> None:
    [(line, key, message)] = problems(load, '[project]\nname = "shop"\nseed = = 3\n')
    assert (line, key) == (3, "") and "column 8" in message and "seed = = 3" in message
    [(line, _, message)] = problems(load, '[project]\nname = """shop')
    assert line == 2 and "not valid TOML" in message
    [(line, _, message)] = problems(load, "[project]\nseed = 1\nseed = 2\n")
    assert line == 3


def test_a_file_in_another_encoding(shop: Path) -> None:
    (shop / "sqlseg.toml").write_bytes("[project]\nname = 'Käse'\n".encode("latin-1"))
    with pytest.raises(InvalidSettings, match=r"sqlseg.toml:2: is not UTF-8"):
        load_settings(shop)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12)),
        ("2026-01-31T12:00:00+02:00", datetime(2026, 1, 31, 10)),
        ("2026-01-31 12:00:00", datetime(2026, 1, 31, 11)),
        ('"2026-01-31 12:00"', datetime(2026, 1, 31, 11)),
        ('"2026-01-31T12:00:00Z"', datetime(2026, 1, 31, 12)),
    ],
)
def test_exported_at_is_utc_and_without_an_offset_local(load: Load, written: str, expected: datetime) -> None:
    settings = load(f'[project]\ntimezone = "Europe/Berlin"\n[events]\nexported_at = {written}\n')
    assert settings.events.exported_at == expected


def test_files_need_not_be_there_where_nothing_is_computed(tmp_path: Path) -> None:
    (tmp_path / "sqlseg.toml").write_text(CONTRACT)
    assert load_settings(tmp_path, check_files=False).project.name == "shop"


def test_a_postgres_source_keeps_its_connection_string(load: Load) -> None:
    settings = load('[sources.crm]\ntype = "postgres"\npath = "host=db dbname=shop"\n')
    assert settings.sources["crm"].path == "host=db dbname=shop"


def test_later_checks_name_the_line_too(load: Load) -> None:
    settings = load(CONTRACT)
    error = setting_problem(settings, ("segmentations", "behavior", "inputs", 0), "there is no rfm@1")
    assert error.message.endswith("sqlseg.toml:26: segmentations.behavior.inputs[0]: there is no rfm@1")


# --- lines of keys ---------------------------------------------------------------------------------------------------

EVERYTHING = """\
# a comment with [brackets] and = signs
top = 1
"quoted key" = 'x # not a comment'
a.b."c.d" = 2
[table]  # comment
text = \"\"\"
[not.a.header]
key = "no"
\"\"\"\"
raw = '''
it's''' # tail
dates = [1979-05-27T07:32:00Z, 1979-05-27 07:32:00,
  # between
  07:32:00, ]
inline = { x = 1, y.z = [ { deep = "}" }, {} ], "q" = "]" }
[[list]]
name = "first"
[list.sub]
k = 1
[[list]]
name = "second"
[[list.inner]]
v = 1
[[list.inner]]
v = 2
[x.y]
[x]
z = inf
"""


def paths_of(value: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    if path:
        yield path
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from paths_of(inner, (*path, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from paths_of(inner, (*path, index))


def test_lines_of_every_kind_of_key() -> None:
    lines = key_lines(EVERYTHING)
    assert set(lines) == set(paths_of(tomllib.loads(EVERYTHING)))
    named = {dotted(path): line for path, line in lines.items()}
    assert named["top"] == 2 and named['"quoted key"'] == 3 and named['a.b."c.d"'] == 4
    assert named["table.text"] == 6 and named["table.raw"] == 10
    assert named["table.dates[1]"] == 12 and named["table.dates[2]"] == 14
    assert named["table.inline.y.z[0].deep"] == 15
    assert named["list[0].sub.k"] == 19 and named["list[1].name"] == 21 and named["list[1].inner[1].v"] == 25
    assert named["x.y"] == 26 and named["x"] == 27


KEYS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=6)
STRINGS = st.text(st.sampled_from("ab[]{}=#,.'\\ \"\n"), max_size=8)
VALUES = st.recursive(
    st.integers() | st.booleans() | STRINGS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


def as_toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    if isinstance(value, list):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{as_toml(name)} = {as_toml(inner)}" for name, inner in value.items()) + "}"
    return str(value)


@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_each_key_gets_the_line_it_was_written_on(document: dict[str, Any]) -> None:
    lines = key_lines("".join(f"\n# {name}\n{as_toml(name)} = {as_toml(value)}\n" for name, value in document.items()))
    assert set(lines) == set(paths_of(document))
    for number, name in enumerate(document):
        assert {line for path, line in lines.items() if path[0] == name} == {3 * number + 3}


@pytest.mark.parametrize("key", ["path", "published"])
def test_a_database_file_is_not_called_like_a_schema(load: Load, key: str) -> None:
    with pytest.raises(InvalidSettings, match=rf"warehouse.{key}: must not be called segments.duckdb"):
        load(f'[project]\nname = "shop"\n[warehouse]\n{key} = "segments.duckdb"\n')
