"""Runs one target with atheris: `python tests/fuzz/coverage_guided.py sql -max_total_time=300`.

What is found is written to crash-<hash> in the working folder; keep its bytes in found.py. The options are those of
libFuzzer: -runs, -max_total_time, -max_len, and folders of inputs to begin with.
"""

import sys
from pathlib import Path

import atheris

# sqlglot is left out: watched as well, it takes a second for what takes it milliseconds.
with atheris.instrument_imports(include=["sqlseg", "tomllib"]):
    sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]
    from targets import TARGETS


def main() -> None:
    """Fuzz the target that is named first."""
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"Name one of: {', '.join(TARGETS)}.")
    atheris.Setup([sys.argv[0], *sys.argv[2:]], TARGETS[sys.argv[1]])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
