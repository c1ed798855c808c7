"""The process of the command `sqlseg`, which is also `python -m sqlseg`."""

from sqlseg.cli.process import end_process, quick_imports


def main() -> None:
    """Run the command that the arguments name, and end the process with its exit code."""
    with quick_imports():
        from sqlseg.cli.main import main as run_command
        from sqlseg.engine.arrow import leave_pandas_out
    leave_pandas_out()
    try:
        run_command()
    except SystemExit as end:
        end_process(int(end.code or 0))  # no command ends with a text
    end_process(0)


if __name__ == "__main__":
    main()
