"""The process of the command `sqlseg`, which is also `python -m sqlseg`."""

from sqlseg.cli.interrupts import interrupted, interrupts_between_imports
from sqlseg.cli.process import end_process, quick_imports


def main() -> None:
    """Run the command that the arguments name, and end the process with its exit code."""
    with interrupts_between_imports():
        end_process(_run_command())


def _run_command() -> int:
    try:
        with quick_imports():
            from sqlseg.cli.main import main as run_command
            from sqlseg.engine.arrow import leave_pandas_out
        leave_pandas_out()
        run_command()
    except SystemExit as end:
        return int(end.code or 0)  # no command ends with a text
    except (Exception, KeyboardInterrupt) as problem:
        if not (isinstance(problem, KeyboardInterrupt) or interrupted()):
            raise
        from sqlseg.cli.console import print_error
        from sqlseg.errors import SqlsegError

        print_error(SqlsegError("Interrupted."))
        return 1
    return 0


if __name__ == "__main__":
    main()
