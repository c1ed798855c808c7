"""What the tests of this folder share: a broken project is a sound one with a few files exchanged."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from shops import CLUSTERS, RULES, SETTINGS, Shop, bought, call_sqlseg, viewed

EVENTS = [
    bought("ann", "2024-03-01 10:00", 150),
    bought("ann", "2024-03-02 11:00", 10),
    bought("bob", "2024-03-01 12:00", 50),
    viewed("eve", "2024-03-03 09:00"),
    viewed("bob", "2024-03-03 10:00"),
]


@dataclass(frozen=True)
class Broken:
    """What is broken, how sqlseg is called on it, how that ends, and what the message must say.

    `files` are written over those of a sound shop; None takes one away. `settings` replaces the sections below
    [features] in sqlseg.toml. `breaks` does what no file can. In arguments and in what is said, {shop} stands for the
    project's folder. With `refreshed` the shop has been published before; with `prints` there is data all the same.
    """

    what: str
    says: tuple[str, ...]
    files: Mapping[str, str | bytes | None] = field(default_factory=dict)
    settings: str | None = None
    breaks: Callable[[Shop], object] | None = None
    arguments: tuple[str, ...] = ("refresh",)
    code: int = 1
    refreshed: bool = False
    prints: bool = False

    def made(self, sound: Mapping[bool, Shop], directory: Path) -> Shop:
        """Return the broken project in a folder of its own."""
        shop = sound[self.refreshed].copy(directory)
        if self.settings is not None:
            shop.settings(self.settings)
        for name, content in self.files.items():
            path = shop.directory / name
            if content is None:
                path.unlink()
            elif isinstance(content, bytes):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            else:
                shop.write(name, content)
        if self.breaks is not None:
            self.breaks(shop)
        return shop


def explains_itself(case: Broken, sound: Mapping[bool, Shop], directory: Path) -> None:
    """Assert that a broken project ends with its exit code and a message for people, and publishes nothing."""
    shop = case.made(sound, directory)
    before = published(shop)
    arguments = [argument.replace("{shop}", str(shop.directory)) for argument in case.arguments]
    elsewhere = "--project" in arguments or arguments[0] in ("init", "synth")
    ran = call_sqlseg(*arguments) if elsewhere else shop.sqlseg(*arguments)
    assert ran.code == case.code, ran
    for fragment in case.says:
        expected = fragment.replace("{shop}", str(shop.directory)).replace("{here}", str(Path.cwd()))
        assert expected in ran.err, ran.err
    assert "Traceback" not in ran.err + ran.out
    assert case.code == 0 or case.prints or ran.out == "", "an error is no data"
    assert len(ran.err) < 2000, "nobody reads more"
    if case.code:
        assert published(shop) == before, "people still read what was published before"


def published(shop: Shop) -> bytes | None:
    """Return the published file's content."""
    return shop.published_file.read_bytes() if shop.published_file.is_file() else None


def toml(more: str = "", *, above: str = "") -> str:
    """Return a sound sqlseg.toml with more sections, or with keys above the others."""
    return above + SETTINGS.format(more=RULES + CLUSTERS + more, timezone="UTC")
