"""typer commands: parse, call workflow, print."""
