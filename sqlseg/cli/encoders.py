"""`sqlseg encoders`: which there are, and whether they answer as published."""

from pathlib import Path
from typing import Annotated, Any

import typer

from sqlseg.cli.console import (
    JsonOption,
    ProjectOption,
    WaitOption,
    patience,
    print_json,
    print_table,
    stderr,
    stdout,
    system_clock,
    usable_path,
)
from sqlseg.encoders.content_manifest import MissingPackage, find_text_encoders
from sqlseg.encoders.image_manifest import find_image_encoders
from sqlseg.encoders.manifest import Device, Encoder, find_encoders, folder_ref, load_encoder
from sqlseg.errors import SqlsegError
from sqlseg.resources import resource_root
from sqlseg.workflow.project import open_registry
from sqlseg.workflow.viewing import sequence_tokens

app = typer.Typer(
    help="The encoders, and whether they answer as published.", no_args_is_help=True, rich_markup_mode=None
)

DeviceOption = Annotated[Device, typer.Option("--device", help="Where to run.")]
NameArgument = Annotated[str | None, typer.Argument(metavar="[NAME@K]", help="One encoder; all without.")]


class NotWritten(SqlsegError):
    """A file that was asked for cannot be written."""

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(f"{path} cannot be written ({error.strerror or error}).", hint="Name another file or folder.")


def _roots(project: Path) -> list[Path]:
    return [resource_root("onnx_models"), project / "onnx_models"]


def _chosen(name: str | None, project: Path) -> list[Encoder]:
    if name is not None:
        return [load_encoder(name, _roots(project))]
    return list(find_encoders(_roots(project)).values())


@app.command("list")
def list_encoders(project: ProjectOption = Path(), json: JsonOption = False) -> None:
    """List the shipped encoders and the project's own."""
    rows: list[dict[str, Any]] = [
        {
            "encoder": encoder.ref,
            "dimensions": encoder.manifest.dimensions,
            "sequence": encoder.manifest.sequence,
            "description": encoder.manifest.description,
            "license": encoder.manifest.license,
            "forecast_days": list(told.horizons) if (told := encoder.manifest.forecasts) else [],
            "folder": encoder.folder,
        }
        for encoder in _chosen(None, project)
    ]
    rows += [
        {
            "encoder": encoder.ref,
            "dimensions": encoder.manifest.dimensions,
            "sequence": reads,
            "description": encoder.manifest.description,
            "license": encoder.manifest.license,
            "forecast_days": [],
            "folder": encoder.folder,
        }
        for reads, found in (
            ("texts", find_text_encoders(_roots(project))),
            ("images", find_image_encoders(_roots(project))),
        )
        for encoder in found.values()
    ]
    if json:
        print_json(rows)
    else:
        columns = ["encoder", "dimensions", "sequence", "description", "license"]
        print_table(
            None,
            [*columns, "forecast days"],
            [(*(row[column] for column in columns), ", ".join(map(str, row["forecast_days"]))) for row in rows],
        )


@app.command()
def verify(
    name: NameArgument = None, device: DeviceOption = "auto", project: ProjectOption = Path(), json: JsonOption = False
) -> None:
    """Check the model files, and replay the answers they were published with."""
    from sqlseg.encoders.images import verify_image_encoder
    from sqlseg.encoders.sentences import verify_text_encoder
    from sqlseg.encoders.verify import verify_encoder

    texts, images = find_text_encoders(_roots(project)), find_image_encoders(_roots(project))
    of_contents = [*texts, *images]
    checked = [] if name in of_contents else [verify_encoder(encoder, device) for encoder in _chosen(name, project)]
    for ref in of_contents if name is None else {name} & set(of_contents):
        try:
            if ref in texts:
                checked.append(verify_text_encoder(texts[ref], device))
            if ref in images:
                checked.append(verify_image_encoder(images[ref], device))
        except MissingPackage as missing:
            if name is not None:
                raise
            stderr.print(f"{missing.message} Left out; {missing.hint}", markup=False, soft_wrap=True)
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
    for one in checked:
        for problem, advice in one.problems:
            stderr.print(f"{one.ref}: {problem}.\n  {advice}", markup=False, soft_wrap=True)
    if not all(one.passed for one in checked):
        raise typer.Exit(1)


@app.command()
def manifest(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder of the model, named <name>_v<k>.", callback=usable_path)
    ],
    sequence: Annotated[str, typer.Option("--sequence", help="The sequence view that the model reads.")],
    description: Annotated[str, typer.Option("--description", help="What an embedding says of a user.")] = "",
    training_data: Annotated[str, typer.Option("--training-data", help="What it was trained on.")] = "not told",
    license_name: Annotated[str, typer.Option("--license", help="The licence of the model.")] = "not told",
    max_length: Annotated[int, typer.Option("--max-length", min=1, help="Tokens of a user at most.")] = 64,
    tolerance: Annotated[float, typer.Option("--tolerance", help="How far answers elsewhere may lie apart.")] = 1e-5,
    model: Annotated[str, typer.Option("--model", help="The model's file in the folder.")] = "model.onnx",
    replace: Annotated[bool, typer.Option("--replace", help="Write over the manifest that is there.")] = False,
    project: ProjectOption = Path(),
    json: JsonOption = False,
) -> None:
    """Write the manifest of an encoder of your own: its signature, SHA-256, and answers to replay elsewhere."""
    from sqlseg.encoders.describing import About, described_encoder, write_manifest

    view = open_registry(project).registry.view("sequences", sequence)
    columns = [column.name for column in view.columns if column.name not in ("user_id", "position")]
    name, version = folder_ref(folder)
    about = About(description or f"{name}, an encoder of our own.", training_data, license_name, max_length, tolerance)
    written = write_manifest(
        folder, described_encoder(folder.resolve(), view.ref, columns, about, model), replace=replace
    )
    if json:
        print_json({"encoder": f"{name}@{version}", "manifest": written, "columns": columns})
    else:
        stdout().print(f"{written}: encoder:{name}@{version} reads {view.ref}.", markup=False, soft_wrap=True)


@app.command()
def tokens(
    sequence: Annotated[str, typer.Argument(metavar="NAME@K", help="A sequence view, such as behavior@1.")],
    output: Annotated[Path, typer.Option("--output", help="The Parquet file to write.", callback=usable_path)],
    project: ProjectOption = Path(),
    wait: WaitOption = 0.0,
    json: JsonOption = False,
) -> None:
    """Write what an encoder reads of every user to a Parquet file, to train an encoder of your own on."""
    import pyarrow.parquet as pq

    opened = open_registry(project)
    rows = sequence_tokens(opened, opened.registry.view("sequences", sequence), patience(wait))
    try:
        pq.write_table(rows, output)
    except OSError as error:
        raise NotWritten(output, error) from error
    if json:
        print_json({"sequence": sequence, "file": output, "tokens": len(rows)})
    else:
        stdout().print(f"{output}: {len(rows):,} tokens.", markup=False, soft_wrap=True)


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
    from sqlseg.encoders.bench import measure_throughput
    from sqlseg.encoders.session import open_session

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
