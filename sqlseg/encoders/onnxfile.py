"""Looks into an ONNX file, without the onnx package, for what would make it more than that one file."""

from collections.abc import Iterator
from pathlib import Path

from sqlseg.errors import SqlsegError

LARGEST = 2 * 1024**3 - 1
"""What a protobuf file can hold, in bytes."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

_GRAPH, _OUTPUT, _FUNCTION = 7, 12, 25

_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
"""Whose operators ONNX Runtime has by itself; of any other, code would have to be loaded."""

# Which fields of a message of onnx.proto3 lead to tensors, and to what: by message and field number.
_LEADS = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}


class NotOneFile(SqlsegError):
    """A model file is not an ONNX model that is whole in itself."""

    def __init__(self, path: Path, problem: str, hint: str) -> None:
        super().__init__(f"{path} {problem}.", hint=hint)


def check_one_file(path: Path) -> None:
    """Raise NotOneFile where the file is empty, a placeholder, no ONNX model, too large, or refers to other files."""
    try:
        size = path.stat().st_size
        head = path.open("rb").read(64) if size else b""
    except OSError as error:
        raise NotOneFile(path, f"cannot be read ({error.strerror or error})", "Put the model there.") from error
    if not size:
        raise NotOneFile(path, "is empty", "Export the model again.")
    if head.startswith(b"version https://git-lfs"):
        raise NotOneFile(path, "is a placeholder of Git LFS, not the model", "Run `git lfs pull`.")
    check_size(path, size)
    try:
        content = path.read_bytes()
        elsewhere = sorted(set(external_files(content)))
        foreign = sorted(set(foreign_operators(content)))
    except (IndexError, ValueError, RecursionError) as error:
        raise NotOneFile(path, "is no ONNX model, or cut short", "Export the model again.") from error
    if elsewhere:
        raise NotOneFile(
            path,
            f"keeps weights in other files, which its SHA-256 does not cover: {', '.join(elsewhere)}",
            "Export it as one file: torch.onnx.export(..., external_data=False), or onnx.save(onnx.load(path), path, "
            "save_as_external_data=False).",
        )
    if foreign:
        raise NotOneFile(
            path,
            f"calls code that is not in it: {', '.join(foreign)}",
            "Export it with the operators of ONNX alone, or with the functions that it calls inside the file.",
        )


def check_size(path: Path, size: int) -> None:
    """Raise NotOneFile where a file has more bytes than an ONNX model can have."""
    if size > LARGEST:
        raise NotOneFile(path, f"has {size:,} bytes; an ONNX file holds {LARGEST:,} at most", "Use a smaller model.")


def external_files(model: bytes) -> Iterator[str]:
    """Yield the location of each tensor of a serialized model that lies in another file.

    Raises ValueError or IndexError where the bytes are no such message.
    """
    return _locations(memoryview(model), "model")


def foreign_operators(model: bytes) -> Iterator[str]:
    """Yield each operator, as `domain::name`, that neither ONNX defines, nor ONNX Runtime by itself, nor the model.

    Raises ValueError or IndexError where the bytes are no such message.
    """
    defined = set()
    for field, value in _fields(memoryview(model)):
        if field == _FUNCTION:
            told = dict(_fields(value))
            defined.add((_text(told.get(10)), _text(told.get(1))))
    for domain, name in _operators(memoryview(model), "model"):
        if domain not in _DOMAINS and (domain, name) not in defined:
            yield f"{domain}::{name}"


def with_output(model: bytes, name: str) -> bytes:
    """Return a serialized model that gives the tensor of this name as well, unless it does already.

    Messages of protobuf are merged where they come twice, so a second graph of one output adds it to the first.
    Raises ValueError or IndexError where the bytes are no such message.
    """
    graphs = (value for field, value in _fields(memoryview(model)) if field == _GRAPH)
    outputs = (value for graph in graphs for field, value in _fields(graph) if field == _OUTPUT)
    wanted = name.encode()
    if any(field == 1 and value == wanted for output in outputs for field, value in _fields(output)):
        return model
    return model + _field(_GRAPH, _field(_OUTPUT, _field(1, wanted)))


def _field(number: int, content: bytes) -> bytes:
    return _number(number << 3 | _BYTES) + _number(len(content)) + content


def _number(value: int) -> bytes:
    written = bytearray()
    while value > 127:
        written.append(value & 127 | 128)
        value >>= 7
    return bytes([*written, value])


def _locations(message: memoryview, kind: str) -> Iterator[str]:
    for field, value in _fields(message):
        lead = _LEADS[kind].get(field)
        if lead == "entry":
            entry = dict(_fields(value))
            if bytes(entry.get(1, b"")) == b"location":
                yield _text(entry.get(2))
        elif lead is not None:
            yield from _locations(value, lead)


def _operators(message: memoryview, kind: str) -> Iterator[tuple[str, str]]:
    """Yield domain and name of the operator of every node, also within branches, loops and functions."""
    for field, value in _fields(message):
        lead = _LEADS[kind].get(field)
        if lead == "node":
            told = dict(_fields(value))
            yield _text(told.get(7)), _text(told.get(4))
        if lead in ("graph", "function", "node", "attribute"):
            yield from _operators(value, lead)


def _text(value: memoryview | None) -> str:
    return "" if value is None else bytes(value).decode()


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield number and content of the fields that have a length; numbers are passed over."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        if key & 7 == _VARINT:
            _, place = _varint(message, place)
        elif key & 7 == _BYTES:
            length, place = _varint(message, place)
            if place + length > len(message):
                raise ValueError("a field is longer than its message")
            yield key >> 3, message[place : place + length]
            place += length
        elif key & 7 in (_FIXED64, _FIXED32):
            place += 8 if key & 7 == _FIXED64 else 4
        else:
            raise ValueError(f"no such type of field: {key & 7}")


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        if shift > 63:
            raise ValueError("a number is longer than 64 bits")
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
