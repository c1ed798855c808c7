"""A reader of a published file, run as a process of its own by whatever DuckDB is on its path.

It connects, asks which refresh it sees, waits a little, asks on the same connection whether all tables are of that one,
and closes; again and again until a file says that it is to stop. Every fifth time it asks whether the file is as it was
published. Each reading is a line of JSON.
"""

import json
import sys
import time
from itertools import count
from pathlib import Path


def with_duckdb(file):
    import duckdb

    connection = duckdb.connect(file, read_only=True, config={"threads": 1})
    return lambda sql: connection.execute(sql).fetchall(), connection.close


def with_sqlalchemy(file):
    from sqlalchemy import create_engine, text
    from sqlalchemy.pool import NullPool

    engine = create_engine(f"duckdb:///{file}?access_mode=read_only", poolclass=NullPool)
    connection = engine.connect()

    def close():
        connection.close()
        engine.dispose()

    return lambda sql: [tuple(row) for row in connection.execute(text(sql))], close


def main():
    client, file, questions, stop, pause = sys.argv[1:]
    which, checks, is_whole = json.loads(Path(questions).read_text(encoding="utf-8"))
    connect = {"duckdb": with_duckdb, "sqlalchemy": with_sqlalchemy}[client]
    for number in count():
        if Path(stop).exists():
            return
        reading = {"connected_at": time.monotonic()}
        try:
            ask, close = connect(file)
            try:
                reading["first"] = ask(which)[0][0]
                reading["answered_at"] = time.monotonic()
                time.sleep(float(pause) / 4)
                reading["second"] = ask(checks)[0][0]
                if number % 5 == 0:
                    reading["whole"] = ask(is_whole)[0][1]
            finally:
                close()
        except Exception as error:  # noqa: BLE001 - whatever goes wrong is what the test wants to hear of
            reading["error"] = f"{type(error).__name__}: {error}"
        reading["closed_at"] = time.monotonic()
        sys.stdout.write(json.dumps(reading) + "\n")
        sys.stdout.flush()
        time.sleep(float(pause))


main()
