"""sqlseg.toml that cannot be read or does not make sense: the key, the line, and what would be valid."""

import pytest
from broken_projects import Broken, explains_itself, toml
from shops import CLUSTERS, RULES

INPUTS = 'inputs = ["rfm@1"]'
LEARNED = '[segmentations.learned]\nkind = "supervised"\ninputs = ["rfm@1"]\n'


def sections(more):
    return {"sqlseg.toml": toml(more)}


def clusters(old, new):
    assert old in CLUSTERS
    return RULES + CLUSTERS.replace(old, new)


def warehouse(line):
    return {"sqlseg.toml": toml().replace("threads = 1", line)}


def project(line):
    return {"sqlseg.toml": toml().replace('name = "shop"', f'name = "shop"\n{line}')}


def events(line):
    return {"sqlseg.toml": toml(f"[events]\n{line}\n")}


CASES = [
    # -- text
    Broken(
        "a quote that is never closed",
        ("{shop}/sqlseg.toml:2: is not valid TOML: Illegal character '\\n', at column 13 of this line: name",),
        {"sqlseg.toml": '[project]\nname = "shop\n'},
    ),
    Broken(
        "a key twice",
        ("{shop}/sqlseg.toml:3: is not valid TOML: Cannot overwrite a value, at column 11 of this line:",),
        {"sqlseg.toml": '[project]\nname = "a"\nname = "b"\n'},
    ),
    Broken(
        "a section twice",
        ("{shop}/sqlseg.toml:3: is not valid TOML: Cannot declare ('project',) twice, at column 9 of this",),
        {"sqlseg.toml": '[project]\nname = "a"\n[project]\n'},
    ),
    Broken(
        "JSON",
        ('{shop}/sqlseg.toml:1: is not valid TOML: Invalid statement, at column 1 of this line: {"project":',),
        {"sqlseg.toml": '{"project": {"name": "shop"}}'},
    ),
    Broken(
        "a zero byte",
        ("{shop}/sqlseg.toml:2: is not valid TOML: Illegal character '\\x00', at column 11 of this line:",),
        {"sqlseg.toml": b'[project]\nname = "sh\0op"\n'},
    ),
    Broken(
        "UTF-16, as Notepad saves it",
        ("{shop}/sqlseg.toml:1: is not UTF-8 text; save it as UTF-8",),
        {"sqlseg.toml": toml().encode("utf-16")},
    ),
    Broken(
        "a day that does not exist",
        ("{shop}/sqlseg.toml:21: is not valid TOML: Invalid date or datetime, at column 15 of this line:",),
        events("exported_at = 2024-02-30T00:00:00"),
    ),
    Broken(
        "nested without end",
        ("{shop}/sqlseg.toml:1: nests lists or tables too deeply to be read",),
        {"sqlseg.toml": "a = " + "[" * 5000 + "]" * 5000},
    ),
    Broken(
        "a number of 5,000 digits",
        ("{shop}/sqlseg.toml:2: has a number of too many digits",),
        {"sqlseg.toml": "[project]\nseed = " + "9" * 5000},
    ),
    Broken(
        "binary", ("{shop}/sqlseg.toml:2: is not UTF-8 text; save it as UTF-8",), {"sqlseg.toml": bytes(range(256)) * 4}
    ),
    Broken(
        "a folder",
        ("No sqlseg.toml in {shop}.", "`sqlseg init {shop}` makes a project there."),
        breaks=lambda s: ((s.directory / "sqlseg.toml").unlink(), (s.directory / "sqlseg.toml").mkdir()),
    ),
    # -- keys
    Broken(
        "a key above all sections",
        ("{shop}/sqlseg.toml:1: timezone: unknown key; valid here: project, warehouse, sources, events,",),
        {"sqlseg.toml": toml(above="timezone = 'UTC'\n")},
    ),
    Broken(
        "an unknown limit of drift",
        ("{shop}/sqlseg.toml:21: segmentations.groups.drift.psy: unknown key; did you mean psi?",),
        settings=RULES + CLUSTERS + "[segmentations.groups.drift]\npsy = 0.3\n",
    ),
    Broken(
        "a section of another kind",
        ("{shop}/sqlseg.toml:15: segmentations.tier.inputs: unknown key; valid here: kind, sql, tiers",),
        settings=RULES + 'inputs = ["rfm@1"]\n',
    ),
    Broken(
        "text for a section",
        ("{shop}/sqlseg.toml:1: project: must be a table, got 'shop'",),
        {"sqlseg.toml": 'project = "shop"\n'},
    ),
    Broken(
        "a list of sections",
        ("{shop}/sqlseg.toml:1: segmentations: must be a table, got [{'kind': 'cluster'}]",),
        {"sqlseg.toml": '[[segmentations]]\nkind = "cluster"\n'},
    ),
    Broken(
        "text for a segmentation",
        ("{shop}/sqlseg.toml:2: segmentations.x: must be a table, got 'cluster'",),
        {"sqlseg.toml": '[segmentations]\nx = "cluster"\n'},
    ),
    Broken(
        "a segmentation without kind",
        ('{shop}/sqlseg.toml:12: segmentations.x: is missing its kind; this version fits "cluster", "rules"',),
        settings='[segmentations.x]\ninputs = ["rfm@1"]\n',
    ),
    Broken(
        "a name with a space",
        ('{shop}/sqlseg.toml:12: segmentations."my tier": the name of a segmentation must be lower-case',),
        settings=RULES.replace("segmentations.tier", 'segmentations."my tier"'),
    ),
    Broken(
        "a source named main",
        ("{shop}/sqlseg.toml:20: sources.main: main is a name that sqlseg or DuckDB uses itself; call the",),
        sections('[sources.main]\npath = "x.duckdb"\n'),
    ),
    Broken(
        "many mistakes at once",
        ("{shop}/sqlseg.toml:2: project.a0: unknown key; valid here: name, timezone, country, seed",),
        {"sqlseg.toml": "[project]\n" + "".join(f"a{n} = 1\n" for n in range(200))},
    ),
    # -- the project and its files
    Broken(
        "a seed below zero", ("{shop}/sqlseg.toml:4: project.seed: must be at least 0, got -1",), project("seed = -1")
    ),
    Broken(
        "a seed with a point",
        ("{shop}/sqlseg.toml:4: project.seed: must be a whole number, got 1.5",),
        project("seed = 1.5"),
    ),
    Broken(
        "no name",
        ("{shop}/sqlseg.toml:3: project.name: must be text in quotes, got ' '",),
        {"sqlseg.toml": toml().replace('"shop"', '" "')},
    ),
    Broken(
        "threads in words",
        ("{shop}/sqlseg.toml:8: warehouse.threads: must be a whole number, got 'two'",),
        warehouse('threads = "two"'),
    ),
    Broken(
        "no threads", ("{shop}/sqlseg.toml:8: warehouse.threads: must be at least 1, got 0",), warehouse("threads = 0")
    ),
    Broken(
        "threads that are true",
        ("{shop}/sqlseg.toml:8: warehouse.threads: must be a whole number, got True",),
        warehouse("threads = true"),
    ),
    Broken(
        "more threads than a number holds",
        ("{shop}/sqlseg.toml:8: warehouse.threads: must be at most 1024, got 99999999999999999999",),
        warehouse("threads = 99999999999999999999"),
    ),
    Broken(
        "a million threads",
        ("{shop}/sqlseg.toml:8: warehouse.threads: must be at most 1024, got 1000000",),
        warehouse("threads = 1000000"),
    ),
    Broken(
        "memory without unit",
        ('{shop}/sqlseg.toml:8: warehouse.memory_limit: must be an amount with a unit such as "4GB" or',),
        warehouse('memory_limit = "4"'),
    ),
    Broken(
        "no memory",
        ('{shop}/sqlseg.toml:8: warehouse.memory_limit: must be an amount with a unit such as "4GB" or',),
        warehouse('memory_limit = "0GB"'),
    ),
    Broken(
        "next to no memory",
        (
            "The database ran out of memory: Out of Memory Error: failed to allocate data of size 32.0 KiB (0",
            "Raise [warehouse] memory_limit in sqlseg.toml, or lower [warehouse] threads.",
        ),
        warehouse('memory_limit = "1B"'),
    ),
    Broken(
        "a path of 5,000 letters",
        ("{shop}/sqlseg.toml:8: warehouse.path: must be a path, and",),
        warehouse(f'path = "{"x" * 5000}.duckdb"'),
    ),
    Broken(
        "a home that nobody has",
        ("{shop}/sqlseg.toml:8: warehouse.path: nobody here is called ~nobody-at-all; write the path of the",),
        warehouse('path = "~nobody-at-all/x.duckdb"'),
    ),
    Broken(
        "a zero byte in a path",
        ("{shop}/sqlseg.toml:8: warehouse.path: must be a path, got text with a zero byte",),
        warehouse('path = "a\\u0000b"'),
    ),
    Broken(
        "a schema's name as published file",
        ("{shop}/sqlseg.toml:7: warehouse.published: must not be called features.duckdb: DuckDB names a",),
        {"sqlseg.toml": toml().replace("published/shop.duckdb", "features.duckdb")},
    ),
    Broken(
        "the warehouse within a file",
        (
            "{shop}/sqlseg.toml/w.duckdb.erasing cannot be used: {shop}/sqlseg.toml is a file, not a folder.",
            "Correct [warehouse] path in sqlseg.toml.",
        ),
        warehouse('path = "sqlseg.toml/w.duckdb"'),
    ),
    # -- events
    Broken(
        "no paths",
        ('{shop}/sqlseg.toml:21: events.paths: must be a list of at least one, such as ["data/"], got []',),
        events("paths = []"),
    ),
    Broken(
        "text for paths",
        ('{shop}/sqlseg.toml:21: events.paths: must be a list of at least one, such as ["data/"], got',),
        events('paths = "data/"'),
    ),
    Broken(
        "paths that are not there",
        ("{shop}/sqlseg.toml:21: events.paths[0]: must be a folder, but {shop}/dta does not exist",),
        events('paths = ["dta/"]'),
    ),
    Broken(
        "a file among the paths",
        ("{shop}/sqlseg.toml:21: events.paths[0]: must be a folder, but {shop}/sqlseg.toml is a file; name",),
        events('paths = ["sqlseg.toml"]'),
    ),
    Broken(
        "a quantity that is not a number",
        ("{shop}/sqlseg.toml:21: events.max_quantity: must be a finite number, got nan",),
        events("max_quantity = nan"),
    ),
    Broken(
        "a negative quantity",
        ("{shop}/sqlseg.toml:21: events.max_quantity: must be greater than 0.0, got -5",),
        events("max_quantity = -5"),
    ),
    Broken(
        "an export yesterday",
        ("{shop}/sqlseg.toml:21: events.exported_at: must be a date and time such as 2026-01-31T00:00:00Z,",),
        events('exported_at = "yesterday"'),
    ),
    Broken(
        "an export before the calendar",
        ("{shop}/sqlseg.toml:21: events.exported_at: must be a time within the calendar, the years 1 to",),
        events("exported_at = 0001-01-01T00:00:00+14:00"),
    ),
    Broken(
        "an overlap in words",
        ('{shop}/sqlseg.toml:21: events.overlap: must be a length of time such as "90 minutes", "1 hour" or',),
        events('overlap = "a while"'),
    ),
    Broken(
        "the warehouse as a source",
        ("{shop}/sqlseg.toml:21: sources.crm.path: is the warehouse itself, which events.sql reads without",),
        sections('[sources.crm]\npath = "warehouse.duckdb"\n'),
    ),
    Broken(
        "a source of an unknown type",
        ('{shop}/sqlseg.toml:21: sources.crm.type: must be "duckdb", "sqlite" or "postgres", got \'sqlight\';',),
        sections('[sources.crm]\ntype = "sqlight"\npath = "crm.db"\n'),
    ),
    Broken(
        "a source without path",
        ("{shop}/sqlseg.toml:20: sources.crm.path: is missing, and has no default",),
        sections('[sources.crm]\ntype = "duckdb"\n'),
    ),
    Broken(
        "a folder as a source",
        ("{shop}/sqlseg.toml:21: sources.crm.path: there is no file {shop}/data",),
        sections('[sources.crm]\npath = "data"\n'),
    ),
    # -- segmentations
    Broken(
        "no inputs",
        ("{shop}/sqlseg.toml:15: segmentations.groups.inputs: is missing, and has no default",),
        settings=clusters(INPUTS, ""),
    ),
    Broken(
        "an empty list of inputs",
        ("{shop}/sqlseg.toml:17: segmentations.groups.inputs: must be a list of at least one, such as",),
        settings=clusters(INPUTS, "inputs = []"),
    ),
    Broken(
        "text for inputs",
        ("{shop}/sqlseg.toml:17: segmentations.groups.inputs: must be a list of at least one, such as",),
        settings=clusters(INPUTS, 'inputs = "rfm@1"'),
    ),
    Broken(
        "numbers for inputs",
        ('{shop}/sqlseg.toml:17: segmentations.groups.inputs[0]: must be "name@version",',),
        settings=clusters(INPUTS, "inputs = [1, 2]"),
    ),
    Broken(
        "an input twice",
        ("{shop}/sqlseg.toml:17: segmentations.groups.inputs: names trend twice (trend@1 and trend@2); keep",),
        settings=clusters(INPUTS, 'inputs = ["trend@1", "trend@2"]'),
    ),
    Broken(
        "an input of an unknown kind",
        ('{shop}/sqlseg.toml:17: segmentations.groups.inputs[0]: must be "name@version",',),
        settings=clusters(INPUTS, 'inputs = ["emotion:rfm@1"]'),
    ),
    Broken(
        "version zero",
        ('{shop}/sqlseg.toml:17: segmentations.groups.inputs[0]: must be "name@version",',),
        settings=clusters(INPUTS, 'inputs = ["rfm@0"]'),
    ),
    Broken(
        "version 10**5000",
        ('{shop}/sqlseg.toml:17: segmentations.groups.inputs[0]: must be "name@version",',),
        settings=clusters(INPUTS, f'inputs = ["rfm@1{"0" * 5000}"]'),
    ),
    Broken(
        "unknown content",
        ("{shop}/sqlseg.toml:17: segmentations.groups.inputs[0]: No content view named 'colour'. Choose one",),
        settings=clusters(INPUTS, 'inputs = ["content:colour@1"]'),
    ),
    Broken(
        "unknown mood",
        ("{shop}/sqlseg.toml:17: segmentations.groups.inputs[0]: there is no sentiment:tweets@1; there is",),
        settings=clusters(INPUTS, 'inputs = ["sentiment:tweets@1"]'),
    ),
    Broken(
        "a mood without ratings",
        ("{shop}/sqlseg.toml:17: segmentations.groups.inputs[0]: sentiment:reviews@1 is learned from rated",),
        settings=clusters(INPUTS, 'inputs = ["sentiment:reviews@1"]'),
    ),
    Broken(
        "a forecast of an encoder that foretells nothing",
        ("{shop}/sqlseg.toml:17: segmentations.groups.inputs[0]: forecast:behavior@1 cannot be learned: 30",),
        settings=clusters(INPUTS, 'inputs = ["forecast:behavior@1"]'),
    ),
    Broken(
        "images without encoder",
        ("{shop}/sqlseg.toml:1: content.image_encoder: is needed for images among the inputs: no image",),
        settings=clusters(INPUTS, 'inputs = ["content:images@1"]'),
    ),
    Broken(
        "a negative weight",
        ('{shop}/sqlseg.toml:20: segmentations.groups.weights."rfm@1": must be greater than 0.0, got -1',),
        settings=RULES + CLUSTERS + 'weights = { "rfm@1" = -1 }\n',
    ),
    Broken(
        "a weight of zero",
        ('{shop}/sqlseg.toml:20: segmentations.groups.weights."rfm@1": must be greater than 0.0, got 0',),
        settings=RULES + CLUSTERS + 'weights = { "rfm@1" = 0 }\n',
    ),
    Broken(
        "a weight that is not a number",
        ('{shop}/sqlseg.toml:20: segmentations.groups.weights."rfm@1": must be a finite number, got nan',),
        settings=RULES + CLUSTERS + 'weights = { "rfm@1" = nan }\n',
    ),
    Broken(
        "a weight of no input",
        ("{shop}/sqlseg.toml:20: segmentations.groups.weights: 'cadence@1' is none of the inputs (rfm@1)",),
        settings=RULES + CLUSTERS + 'weights = { "cadence@1" = 2 }\n',
    ),
    Broken(
        "k in words",
        ('{shop}/sqlseg.toml:18: segmentations.groups.k: must be "auto" or a whole number of at least 1,',),
        settings=clusters("k = 2", 'k = "many"'),
    ),
    Broken(
        "half a segment",
        ('{shop}/sqlseg.toml:18: segmentations.groups.k: must be "auto" or a whole number of at least 1,',),
        settings=clusters("k = 2", "k = 2.5"),
    ),
    Broken(
        "a k below zero",
        ('{shop}/sqlseg.toml:18: segmentations.groups.k: must be "auto" or a whole number of at least 1,',),
        settings=clusters("k = 2", "k = -3"),
    ),
    Broken(
        "k with an algorithm that finds it",
        ('{shop}/sqlseg.toml:18: segmentations.groups.k: must be "auto" with hdbscan, which finds the',),
        settings=RULES + CLUSTERS + 'algorithm = "hdbscan"\n',
    ),
    Broken(
        "a learner for clusters",
        ("{shop}/sqlseg.toml:20: segmentations.groups.algorithm: there is no algorithm 'gradient_boosting';",),
        settings=RULES + CLUSTERS + 'algorithm = "gradient_boosting"\n',
    ),
    Broken(
        "an unknown criterion",
        ('{shop}/sqlseg.toml:20: segmentations.groups.criterion: must be "recurrence", "stability",',),
        settings=RULES + CLUSTERS + 'criterion = "silhuette"\n',
    ),
    Broken(
        "refit when asked",
        ('{shop}/sqlseg.toml:19: segmentations.groups.refit: must be "drift", "always" or "never", got',),
        settings=clusters('refit = "never"', 'refit = "sometimes"'),
    ),
    Broken(
        "a share above one",
        ("{shop}/sqlseg.toml:21: segmentations.groups.drift.share: must be at most 1.0, got 1.5",),
        settings=RULES + CLUSTERS + "[segmentations.groups.drift]\nshare = 1.5\n",
    ),
    Broken(
        "labels left out",
        ("{shop}/sqlseg.toml:12: segmentations.learned.labels: is missing, and has no default",),
        settings=LEARNED,
    ),
    Broken(
        "labels that are not there",
        ("{shop}/sqlseg.toml:15: segmentations.learned.labels: there is no file {shop}/sql/labels.sql;",),
        settings=LEARNED + 'labels = "sql/labels.sql"\n',
    ),
    Broken(
        "a cluster algorithm that learns",
        ("{shop}/sqlseg.toml:16: segmentations.learned.algorithm: there is no algorithm 'kmeans'; it must",),
        settings=LEARNED + 'labels = "sql/segments/tier.sql"\nalgorithm = "kmeans"\n',
    ),
    Broken(
        "kept features without choosing",
        ("{shop}/sqlseg.toml:16: segmentations.learned.keep: says how many features are kept, but nothing",),
        settings=LEARNED + 'labels = "sql/segments/tier.sql"\nkeep = 5\n',
    ),
    Broken(
        "one tier",
        ("{shop}/sqlseg.toml:15: segmentations.tier.tiers: must be a list of two or more names of segments,",),
        settings=RULES + 'tiers = ["High"]\n',
    ),
    Broken(
        "a tier twice",
        ("{shop}/sqlseg.toml:15: segmentations.tier.tiers: must be a list of two or more names of segments,",),
        settings=RULES + 'tiers = ["Low", "Low"]\n',
    ),
    Broken(
        "pins that are not there",
        ("{shop}/sqlseg.toml:20: segmentations.groups.pins: there is no file {shop}/sql/pins.sql;",),
        settings=RULES + CLUSTERS + 'pins = "sql/pins.sql"\n',
    ),
    # -- the rest
    Broken(
        "an unknown device",
        ('{shop}/sqlseg.toml:21: encoders.behavior.device: must be "auto", "cpu" or "cuda", got \'gpu\'; did',),
        sections('[encoders.behavior]\ndevice = "gpu"\n'),
    ),
    Broken(
        "an encoder that nobody has",
        ("{shop}/sqlseg.toml:20: encoders.behaviour: there is no encoder 'behaviour'; did you mean",),
        sections('[encoders.behaviour]\ndevice = "cpu"\n'),
    ),
    Broken(
        "a view to publish that is not there",
        ("{shop}/sqlseg.toml:11: features.publish[0]: No feature view named 'rmf'. Choose one of: rfm,",),
        {"sqlseg.toml": toml().replace('["rfm@1"]', '["rmf@1"]', 1)},
    ),
    Broken(
        "some views to publish",
        ('{shop}/sqlseg.toml:11: features.publish: must be "all" or a list of feature views such as',),
        {"sqlseg.toml": toml().replace('["rfm@1"]', '"some"', 1)},
    ),
    Broken(
        "an unknown text encoder",
        ("{shop}/sqlseg.toml:21: content.text_encoder: No encoder named 'maxilm@1'. Choose one of: minilm@1.",),
        settings=clusters(INPUTS, 'inputs = ["content:titles@1"]') + '[content]\ntext_encoder = "maxilm@1"\n',
    ),
    Broken(
        "a horizon of no days",
        ("{shop}/sqlseg.toml:21: forecasts.horizons: must be a list of different whole numbers of days, 1",),
        sections("[forecasts]\nhorizons = [0]\n"),
    ),
    Broken(
        "a horizon twice",
        ("{shop}/sqlseg.toml:21: forecasts.horizons: must be a list of different whole numbers of days, 1",),
        sections("[forecasts]\nhorizons = [30, 30]\n"),
    ),
    Broken(
        "a forecast from an unknown view",
        ("{shop}/sqlseg.toml:21: forecasts.features[0]: No feature view named 'rmf'. Choose one of: rfm,",),
        sections('[forecasts]\nfeatures = ["rmf@1"]\n'),
    ),
    Broken(
        "a webhook by FTP",
        ('{shop}/sqlseg.toml:21: monitoring.webhook: must be an address such as "https://example.com/hook",',),
        sections('[monitoring]\nwebhook = "ftp://example.com"\n'),
    ),
    Broken(
        "an unknown kind of checks",
        ("{shop}/sqlseg.toml:21: checks.errors: there is no kind of checks 'freshnes'; did you mean",),
        sections('[checks]\nerrors = ["freshnes"]\n'),
    ),
    Broken(
        "an age of no days",
        ("{shop}/sqlseg.toml:21: checks.max_age_days: must be at least 1, got 0",),
        sections("[checks]\nmax_age_days = 0\n"),
    ),
    Broken(
        "ratings from nowhere",
        ("{shop}/sqlseg.toml:21: sentiment.ratings: there is no file {shop}/sql/ratings.sql; {shop}/sql has",),
        sections('[sentiment]\nratings = "sql/ratings.sql"\n'),
    ),
    Broken(
        "pleased from not a number",
        ("{shop}/sqlseg.toml:21: sentiment.pleased_from: must be a finite number, got nan",),
        sections("[sentiment]\npleased_from = nan\n"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_what_is_wrong_in_the_settings_is_explained(case, sound_shops, tmp_path):
    explains_itself(case, sound_shops, tmp_path / "shop")
