"""`sqlseg encoders`: which there are, and whether they answer as published."""

from pathlib import Path
from typing import Annotated

import typer

from sqlseg.cli.console import JsonOption, ProjectOption, print_json, print_table, system_clock
from sqlseg.encoders.bench import measure_throughput
from sqlseg.encoders.manifest import Encoder, find_encoders, load_encoder
from sqlseg.encoders.session import Device, open_session
from sqlseg.encoders.verify import verify_encoder
from sqlseg.resources import resource_root

app = typer.Typer(
    help="The encoders, and whether they answer as published.", no_args_is_help=True, rich_markup_mode=None
)

DeviceOption = Annotated[Device, typer.Option("--device", help="Where to run.")]
NameArgument = Annotated[str | None, typer.Argument(metavar="[NAME@K]", help="One encoder; all without.")]


def _roots(project: Path) -> list[Path]:
    return [resource_root("onnx_models"), project / "onnx_models"]


def _chosen(name: str | None, project: Path) -> list[Encoder]:
    if name is not None:
        return [load_encoder(name, _roots(project))]
    return list(find_encoders(_roots(project)).values())


@app.command("list")
def list_encoders(project: ProjectOption = Path(), json: JsonOption = False) -> None:
    """List the shipped encoders and the project's own."""
    rows = [
        {
            "encoder": encoder.ref,
            "dimensions": encoder.manifest.dimensions,
            "sequence": encoder.manifest.sequence,
            "description": encoder.manifest.description,
            "license": encoder.manifest.license,
            "folder": encoder.folder,
        }
        for encoder in _chosen(None, project)
    ]
    if json:
        print_json(rows)
    else:
        columns = ["encoder", "dimensions", "sequence", "description", "license"]
        print_table(None, columns, [tuple(row[column] for column in columns) for row in rows])


@app.command()
def verify(
    name: NameArgument = None, device: DeviceOption = "auto", project: ProjectOption = Path(), json: JsonOption = False
) -> None:
    """Check the model files, and replay the answers they were published with."""
    checked = [verify_encoder(encoder, device) for encoder in _chosen(name, project)]
    if json:
        print_json([{**vars(one), "passed": one.passed} for one in checked])
    else:
        print_table(
            None,
            ["encoder", "provider", "golden rows", "largest difference", "tolerance", ""],
            [
                (c.ref, c.provider, c.golden_rows, c.largest_difference, c.tolerance, "ok" if c.passed else "differs")
                for c in checked
            ],
        )
    if not all(one.passed for one in checked):
        raise typer.Exit(1)


@app.command()
def bench(
    name: NameArgument = None,
    device: DeviceOption = "auto",
    threads: Annotated[
        int, typer.Option("--threads", min=1, help="How many batches run side by side on a CPU, each on one thread.")
    ] = 1,
    project: ProjectOption = Path(),
    json: JsonOption = False,
) -> None:
    """Measure how many users a second an encoder handles here, with short histories and with a mix."""
    clock = system_clock()
    rows = [
        row
        for encoder in _chosen(name, project)
        for row in measure_throughput(open_session(encoder, device), clock.seconds, threads)
    ]
    if json:
        print_json([vars(row) for row in rows])
    else:
        print_table(
            None,
            ["encoder", "provider", "threads", "mean tokens", "users a second"],
            [(r.ref, r.provider, r.threads, r.mean_length, round(r.users_per_second)) for r in rows],
        )
