"""Builds behavior@3 from the weights of behavior@1, and checks it against that: model.onnx and manifest.json.

    pip install 'sqlseg[pretrain]'
    python onnx_models/behavior_v3/export.py

Nothing is trained. The model reads the raw figures of the sequence view `behavior@2`, and makes of them, within itself,
the 27 figures that behavior@1 reads. Both are compared on two simulated shops; it takes a few seconds.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from math import exp, inf, pi
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from sqlseg.encoders.batching import encode_ragged
from sqlseg.encoders.onnxfile import with_output
from sqlseg.engine.duckdb import Engine
from sqlseg.resources import sql_text
from sqlseg.synth import random_groups, random_shop, simulate_shop

FOLDER = Path(__file__).resolve().parent
TRAINED = FOLDER.parent / "behavior_v1"
SIZE, OPSET, IR = 64, 20, 10
GOLDEN_LENGTHS = (1, 2, 3, 5, 9, 17, 33, 64)
TOLERANCE = 1e-5
FIGURES_APART, EMBEDDINGS_APART = 6e-5, 1e-3
"""How far figures may lie from those of behavior@1, which are rounded to 4 digits, and what that does to embeddings."""

COLUMNS = (
    "kind", "minute", "tenure", "place", "lines", "quantity", "gap", "relative_spend", "price_quantile", "popularity",
    "same_item", "same_category", "discount_share",
)  # fmt: skip
"""What the model reads of a token."""

KINDS = ("search", "view", "favorite", "cart", "coupon", "purchase", "review", "return")
"""The kinds of token, from 1: that is also their order at one instant."""

FIGURES = (
    *(f"is_{kind}" for kind in KINDS),
    "has_gap", "spend_known", "price_known", "item_known",
    "log_tenure", "log_place", "log_lines", "log_quantity", "log_gap",
    "log_spend", "price_quantile", "popularity",
    "hour_sin", "weekday_sin", "hour_cos", "weekday_cos",
    "same_item", "same_category", "discount_share",
)  # fmt: skip
"""The figures of behavior@1, in the order in which they are computed here; the rows of its first layer follow them."""

PICKED = {
    "kind": [("kind", 1, 0)],
    "minute": [("minute", 1, 0)],
    "counts": [
        ("tenure", 1 / 86_400, 1), ("place", 1, 0), ("lines", 1, 0), ("quantity", 1, 1), ("gap", 1 / 60, 1),
        ("relative_spend", 1, 0),
    ],
    "unsure": [(name, 1, 0) for name in ("gap", "relative_spend", "price_quantile", "popularity")],
    "centred": [("price_quantile", 1, -0.5), ("popularity", 1, -0.5)],
    "flags": [(name, 1, 0) for name in ("same_item", "same_category", "discount_share")],
}  # fmt: skip
"""What is computed with: columns times a factor plus an addend, in groups that are treated alike."""

LOWEST = (1, 1, 1, 1, 1, exp(-5))
HIGHEST = (inf, inf, inf, inf, inf, exp(5))
SCALE = (1 / 5, 1 / 4, 1, 1 / 2, 1 / 5, 1 / 2)
"""Bounds of the counts, and what their logarithms are multiplied by. So a gap of -1, which is none, comes out as 0."""


class Graph:
    """The nodes and weights of a model as they are written down. Constants are nodes: only weights are initializers."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def weight(self, name: str, value: np.ndarray) -> str:
        """Add a weight; return its name."""
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def constant(self, name: str, value: object, dtype: type = np.float32) -> str:
        """Add a constant; return its name."""
        return self.add("Constant", [], name, value=numpy_helper.from_array(np.array(value, dtype=dtype), name))

    def of_rows(self, name: str, values: Iterable[float]) -> str:
        """Add a constant of one number for each row; return its name."""
        return self.constant(name, np.array(list(values))[:, None])

    def split(self, whole: str, sizes: Mapping[str, int]) -> None:
        """Add a node that splits rows into groups of these names and sizes."""
        given = self.constant(f"{whole}_sizes", list(sizes.values()), np.int64)
        self.nodes.append(helper.make_node("Split", [whole, given], list(sizes), name=f"split_{whole}", axis=0))

    def add(self, kind: str, inputs: list[str], name: str, **attributes: object) -> str:
        """Add a node whose one output has its name; return that."""
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name


def figures(graph: Graph) -> str:
    """Add what makes the figures of behavior@1 (figures, length x batch) of the tokens (batch, length, columns).

    Each figure is a row of all tokens: what is done to it is then one loop. Groups are rows, too, since every step
    costs as much as a thousand numbers.
    """
    by_place = graph.add("Transpose", ["tokens"], "by_place", perm=[1, 0, 2])
    rows = graph.add("Reshape", [by_place, graph.constant("in_rows", [-1, len(COLUMNS)], np.int64)], "rows")
    wanted = [row for group in PICKED.values() for row in group]
    pick = np.zeros((len(wanted), len(COLUMNS)))
    for row, (name, factor, _) in enumerate(wanted):
        pick[row, COLUMNS.index(name)] = factor
    addends = graph.of_rows("addends", (addend for *_, addend in wanted))
    # Of each sum one product alone is not 0, so nothing is lost in it.
    picked = graph.add("Gemm", [graph.constant("pick", pick), rows, addends], "picked", transB=1)
    graph.split(picked, {name: len(group) for name, group in PICKED.items()})

    is_kind = graph.add("Equal", ["kind", graph.of_rows("kinds", range(1, 9))], "is_kind")
    kinds = graph.add("Cast", [is_kind], "kind_flags", to=TensorProto.FLOAT)

    is_known = graph.add("GreaterOrEqual", ["unsure", graph.constant("nothing", 0.0)], "is_known")
    known = graph.add("Cast", [is_known], "known", to=TensorProto.FLOAT)
    graph.split(known, {"has_gap": 1, "has_measure": 3})

    counts = graph.add("Max", ["counts", graph.of_rows("lowest", LOWEST)], "not_below")
    counts = graph.add("Min", [counts, graph.of_rows("highest", HIGHEST)], "not_above")
    counts = graph.add("Log", [counts], "logarithms")
    counts = graph.add("Mul", [counts, graph.of_rows("scale", SCALE)], "scaled")
    graph.split(counts, {"logs": 5, "log_spend": 1})
    measures = graph.add("Concat", ["log_spend", "centred"], "measures", axis=0)
    measures = graph.add("Mul", [measures, "has_measure"], "measures_or_0")

    days = graph.add("Div", ["minute", graph.constant("minutes_of_day", 1440.0)], "days")
    day = graph.add("Floor", [days], "day")
    part_of_day = graph.add("Sub", [days, day], "part_of_day")
    part_of_week = graph.add("Div", [day, graph.constant("days_of_week", 7.0)], "part_of_week")
    turns = graph.add("Concat", [part_of_day, part_of_week], "turns", axis=0)
    angles = graph.add("Mul", [turns, graph.constant("full_turn", 2 * pi)], "angles")
    clock = [graph.add("Sin", [angles], "sines"), graph.add("Cos", [angles], "cosines")]

    return graph.add("Concat", [kinds, known, "logs", measures, *clock, "flags"], "figures", axis=0)


def model() -> onnx.ModelProto:
    """Return the model: the figures, and the layers of behavior@1 with its weights."""
    trained = onnx.load(TRAINED / "model.onnx")
    weights = {one.name: numpy_helper.to_array(one) for one in trained.graph.initializer}
    (first,) = [node for node in trained.graph.node if node.op_type == "MatMul"]
    read = json.loads((TRAINED / "manifest.json").read_text(encoding="utf-8"))["columns"]
    graph = Graph()
    enter = graph.weight("enter.weight", weights[first.input[1]][[read.index(name) for name in FIGURES]])
    bias = graph.weight("enter.bias", weights["enter.bias"])
    entered = graph.add("Gemm", [figures(graph), enter, bias], "entered", transA=1)
    entering = graph.add("Gelu", [entered], "entering")
    shape = [graph.add("Shape", ["by_place"], "places", end=2), graph.constant("size", [SIZE], np.int64)]
    states = graph.add("Reshape", [entering, graph.add("Concat", shape, "shape", axis=0)], "states")
    lengths = graph.add("Cast", ["lengths"], "real_tokens", to=TensorProto.INT32)
    for number, layer in enumerate(node for node in trained.graph.node if node.op_type == "GRU"):
        inputs = [states]
        for kind in ("ih", "hh"):
            reset, update, new = np.split(weights[f"gru.weight_{kind}_l{number}"], 3)
            inputs.append(graph.weight(f"gru.{kind}_{number}", np.concatenate([update, reset, new])[None]))
        inputs += [graph.weight(f"gru.bias_{number}", weights[layer.input[3]]), lengths]
        # Of the second layer the last real state is read, of the first all of them.
        output, axis = (["", "last"], 0) if number else (["first"], 1)
        graph.nodes.append(
            helper.make_node("GRU", inputs, output, name=f"gru_{number}", hidden_size=SIZE, linear_before_reset=1)
        )
        direction = graph.constant(f"direction_{number}", [axis], np.int64)
        states = graph.add("Squeeze", [output[-1], direction], f"read_{number}")
    leave = [graph.weight(name, weights[name]) for name in ("leave.weight", "leave.bias")]
    left = graph.add("Gemm", [states, *leave], "leaving", transB=1)
    length = graph.add("ReduceL2", [left, graph.constant("figures_axis", [1], np.int64)], "length", keepdims=1)
    length = graph.add("Max", [length, graph.constant("hardly", 1e-12)], "length_not_0")
    graph.add("Div", [left, length], "embedding")
    built = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "behavior_v3",
            [
                helper.make_tensor_value_info("tokens", TensorProto.FLOAT, ["batch", "length", len(COLUMNS)]),
                helper.make_tensor_value_info("lengths", TensorProto.INT64, ["batch"]),
            ],
            [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", SIZE])],
            graph.weights,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR,
        producer_name="sqlseg",
    )
    onnx.checker.check_model(built, full_check=True)
    return built


def tokens_of(engine: Engine, version: int) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Return the columns, tokens and lengths of the users of the shop in the engine, by user and position."""
    table = engine.table(
        f"select * from ({sql_text(f'sequences/behavior__v{version}.sql')}) order by user_id, position"
    )
    names = tuple(table.column_names[2:])
    starts = np.flatnonzero(table["position"].to_numpy() == 1)
    return names, np.stack([table[name].to_numpy() for name in names], axis=1), np.diff([*starts, len(table)])


def load_random_shop(engine: Engine, seed: int) -> None:
    """Put the events and statistics of a random shop into the engine."""
    rng = np.random.default_rng([20_261, seed])
    shop = random_shop(rng)
    events = simulate_shop(shop, random_groups(rng), 450, seed)
    with engine.registered("incoming", events):
        engine.execute("create or replace table events as select *, event_time as local_time from incoming")
    engine.execute("create schema if not exists stats")
    for name in ("shop_scale", "item_standing"):
        engine.execute(f"create or replace table stats.{name}_v1 as {sql_text(f'statistics/{name}__v1.sql')}")


def started(serialized: bytes) -> onnxruntime.InferenceSession:
    """Return a session on the CPU."""
    return onnxruntime.InferenceSession(serialized, providers=["CPUExecutionProvider"])


def embeddings(session: onnxruntime.InferenceSession, tokens: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the embeddings of sequences that lie one after the other."""
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return encode_ragged(
        tokens, offsets, lambda batch, sizes: session.run(None, {"tokens": batch, "lengths": sizes})[0], SIZE
    )


def check(engine: Engine, built: onnx.ModelProto) -> None:
    """Print how far figures and embeddings of the shop in the engine lie from those of behavior@1."""
    serialized = built.SerializeToString()
    columns, tokens, lengths = tokens_of(engine, 2)
    if columns != COLUMNS:
        raise SystemExit(f"behavior@2 has the columns {', '.join(columns)}.")
    names, trained_tokens, _ = tokens_of(engine, 1)
    feed = {"tokens": tokens[:, None], "lengths": np.ones(len(tokens), dtype=np.int64)}
    (computed,) = started(with_output(serialized, "figures")).run(["figures"], feed)
    apart = np.abs(computed.T - trained_tokens[:, [names.index(name) for name in FIGURES]]).max(axis=0)
    trained = started((TRAINED / "model.onnx").read_bytes())
    distance = np.abs(embeddings(started(serialized), tokens, lengths) - embeddings(trained, trained_tokens, lengths))
    print(
        f"{len(lengths)} users, {len(tokens)} tokens: figures at most {apart.max():.1e} apart "
        f"({FIGURES[int(apart.argmax())]}), embeddings {distance.max():.1e}, in the mean {distance.mean():.1e}"
    )
    if apart.max() > FIGURES_APART or distance.max() > EMBEDDINGS_APART:
        raise SystemExit("That is not behavior@1 any more.")


def golden_rows(engine: Engine, serialized: bytes) -> list[dict[str, object]]:
    """Return token sequences of several lengths and the embeddings that the model gives them."""
    session = started(serialized)
    _, tokens, lengths = tokens_of(engine, 2)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    rows = []
    for length in GOLDEN_LENGTHS:
        start = int(offsets[np.flatnonzero(lengths == length)[0]])
        shown = [[float(f"{value:.7g}") for value in token] for token in tokens[start : start + length]]
        sequence = np.array(shown, dtype=np.float32)
        found = embeddings(session, sequence, np.array([length]))[0]
        rows.append({"tokens": shown, "embedding": [round(float(value), 7) for value in found]})
    return rows


def manifest(path: Path, rows: list[dict[str, object]]) -> dict[str, object]:
    """Return what sqlseg needs to know about the model."""
    trained = json.loads((TRAINED / "manifest.json").read_text(encoding="utf-8"))
    return {
        "name": "behavior",
        "version": 3,
        "description": "behavior@1 on raw figures: the same weights, with less asked of the database.",
        "sequence": "behavior@2",
        "model": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "inputs": [
            {"name": "tokens", "dtype": "float32", "shape": ["batch", "length", len(COLUMNS)]},
            {"name": "lengths", "dtype": "int64", "shape": ["batch"]},
        ],
        "output": {"name": "embedding", "dtype": "float32", "shape": ["batch", SIZE]},
        "columns": list(COLUMNS),
        "dimensions": SIZE,
        "max_length": trained["max_length"],
        "training_data": f"None beyond that of behavior@1, whose weights these are. {trained['training_data']}",
        "license": "Apache-2.0",
        "golden": {"tolerance": TOLERANCE, "rows": rows},
    }


def main() -> None:
    """Build, check, write."""
    built, path = model(), FOLDER / "model.onnx"
    onnx.save_model(built, path)
    with Engine.open(None, threads=1) as engine:
        for seed in (1, 2):
            load_random_shop(engine, seed)
            check(engine, built)
        described = manifest(path, golden_rows(engine, path.read_bytes()))
    lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in described.items())
    text = "{\n" + lines.replace('{"tokens"', '\n    {"tokens"') + "\n}\n"
    (FOLDER / "manifest.json").write_text(text, encoding="utf-8")
    print(f"{len(built.graph.node)} steps, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
