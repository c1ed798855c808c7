"""Keeps what a shop's own SQL can reach to what sqlseg.toml declares."""

from pathlib import Path

from sqlseg.engine.duckdb import Engine
from sqlseg.events.confinement import Readable, check_shop_select
from sqlseg.publish.snapshot import building_file
from sqlseg.resources import UnreadableFile, shop_text
from sqlseg.settings import ClusterSegmentation, RulesSegmentation, Settings, SupervisedSegmentation


def readable_by_shop(settings: Settings) -> Readable:
    """Return the folders that the project's SQL may read, in which relative paths begin at the project."""
    return Readable(settings.events.paths, settings.directory)


def confine_to_project(engine: Engine, settings: Settings) -> None:
    """Shut a connection off from all files but those of the declared paths, its databases, and what is published.

    Sources are attached before: later it is too late.
    """
    published = settings.warehouse.published
    engine.confine(settings.events.paths, [published, building_file(published)])


def check_shop_sql(settings: Settings) -> None:
    """Raise NotAllowedInShopSql, with file and line, where SQL of the shop's own writes or reads what it may not."""
    readable = readable_by_shop(settings)
    for path in _shop_sql_files(settings):
        try:
            text = shop_text(path)
        except UnreadableFile:
            continue  # told where the file is used, which not every one of them is
        check_shop_select(text, path, readable)


def _shop_sql_files(settings: Settings) -> list[Path]:
    files = [settings.events.sql, *(settings.directory / "sql" / f"{kind}.sql" for kind in ("users", "items"))]
    if settings.sentiment.ratings is not None:
        files.append(settings.sentiment.ratings)
    for segmentation in settings.segmentations.values():
        match segmentation:
            case RulesSegmentation():
                files.append(segmentation.sql)
            case SupervisedSegmentation():
                files.append(segmentation.labels)
            case ClusterSegmentation() if segmentation.pins is not None:
                files.append(segmentation.pins)
    return list(dict.fromkeys(files))
