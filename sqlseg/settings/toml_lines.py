"""Says on which line of a TOML text each key and array element stands, which tomllib does not."""

import tomllib
from collections.abc import Mapping

KeyPath = tuple[str | int, ...]

_BLANK = " \t"
_WHITE = " \t\r\n"
_BARE_END = ",]}#\r\n"


def key_lines(text: str) -> dict[KeyPath, int]:
    """Return the 1-based line of every key path of a valid TOML text; array elements are numbered from 0.

    Raises `tomllib.TOMLDecodeError` where the text is not valid TOML.

    >>> key_lines('name = "shop"\\n[events]\\npaths = [\\n  "data/",\\n]\\n')
    {('name',): 1, ('events',): 2, ('events', 'paths'): 3, ('events', 'paths', 0): 4}
    """
    tomllib.loads(text)
    scanner = _Scanner(text)
    scanner.document()
    return scanner.lines


def line_of(lines: Mapping[KeyPath, int], path: KeyPath) -> int:
    """Return the line of the key path, or of its nearest ancestor that has one; else 1.

    >>> line_of({("events",): 2}, ("events", "sql"))
    2
    """
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return 1


def dotted(path: KeyPath) -> str:
    """Return a key path as TOML writes it.

    >>> dotted(("segmentations", "behavior", "inputs", 1))
    'segmentations.behavior.inputs[1]'
    >>> dotted(("weights", "encoder:behavior@1"))
    'weights."encoder:behavior@1"'
    """
    written = ""
    for part in path:
        if isinstance(part, int):
            written += f"[{part}]"
            continue
        bare = part.isascii() and part.replace("-", "_").replace("_", "a").isalnum()
        written += ("." if written else "") + (part if bare else f'"{part}"')
    return written


class _Scanner:
    """Walks a TOML text that is known to be valid, noting the line of each key."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[KeyPath, int] = {}
        self.tables: dict[KeyPath, int] = {}  # arrays of tables: the index of the newest element

    def document(self) -> None:
        table: KeyPath = ()
        while self.skip():
            if self.text[self.at] == "[":
                table = self.header()
            else:
                self.pair(table)

    def header(self) -> KeyPath:
        is_array = self.text.startswith("[[", self.at)
        line = self.line()
        self.at += 2 if is_array else 1
        parts = self.key()
        self.at += 2 if is_array else 1
        path: KeyPath = ()
        for number, part in enumerate(parts):
            path = (*path, part)
            self.note(path, line)
            if is_array and number == len(parts) - 1:
                self.tables[path] = self.tables.get(path, -1) + 1
            if path in self.tables:
                path = (*path, self.tables[path])
                self.note(path, line)
        self.lines[path] = line  # a table that was implied by an earlier header stands where it is written
        return path

    def pair(self, table: KeyPath) -> None:
        line = self.line()
        path = table
        for part in self.key():
            path = (*path, part)
            self.note(path, line)
        self.at += 1  # the equals sign, where key() stops
        self.skip()
        self.value(path)

    def key(self) -> list[str]:
        """Read a dotted key and the blanks after it."""
        parts: list[str] = []
        while True:
            self.blanks()
            if self.text[self.at] in "\"'":
                parts.append(self.string())
            else:
                start = self.at
                while self.text[self.at] not in " \t.=]":
                    self.at += 1
                parts.append(self.text[start : self.at])
            self.blanks()
            if self.text[self.at] != ".":
                return parts
            self.at += 1

    def value(self, path: KeyPath) -> None:
        opening = self.text[self.at]
        if opening in "\"'":
            self.string()
        elif opening == "[":
            self.at += 1
            index = 0
            while self.skip() and self.text[self.at] != "]":
                self.note((*path, index), self.line())
                self.value((*path, index))
                index += 1
                self.comma()
            self.at += 1
        elif opening == "{":
            self.at += 1
            while self.skip() and self.text[self.at] != "}":
                self.pair(path)
                self.comma()
            self.at += 1
        else:
            while self.at < len(self.text) and self.text[self.at] not in _BARE_END:
                self.at += 1

    def string(self) -> str:
        quote = self.text[self.at]
        fence = quote * 3 if self.text.startswith(quote * 3, self.at) else quote
        start = self.at
        self.at += len(fence)
        while not self.text.startswith(fence, self.at):
            self.at += 2 if quote == '"' and self.text[self.at] == "\\" else 1
        self.at += len(fence)
        while len(fence) == 3 and self.text.startswith(quote, self.at):
            self.at += 1  # up to two quotes may stand directly before the closing three
        return str(tomllib.loads(f"value = {self.text[start : self.at]}")["value"])

    def comma(self) -> None:
        self.skip()
        if self.text[self.at] == ",":
            self.at += 1

    def skip(self) -> bool:
        """Pass white space and comments; say whether any text is left."""
        while self.at < len(self.text):
            if self.text[self.at] == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            elif self.text[self.at] in _WHITE:
                self.at += 1
            else:
                return True
        return False

    def blanks(self) -> None:
        while self.text[self.at] in _BLANK:
            self.at += 1

    def line(self) -> int:
        return self.text.count("\n", 0, self.at) + 1

    def note(self, path: KeyPath, line: int) -> None:
        self.lines.setdefault(path, line)
