"""How the process of a command starts and ends."""

import subprocess
import sys

import pytest
from shops import RULES, bought, new_shop, viewed


def run(*arguments):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("features", "list", "--json"), 0, ""),
        (("refresh", "--project", "nowhere-at-all"), 1, "nowhere-at-all"),
        (("refresh", "--no-such-option"), 2, "no-such-option"),
    ],
)
def test_a_command_ends_with_its_exit_code_and_all_it_says(arguments, code, told):
    ran = run("-m", "sqlseg", *arguments)
    assert ran.returncode == code
    assert told in ran.stderr and "leaked" not in ran.stderr
    assert (len(ran.stdout) > 1_000) == (code == 0)


def test_a_refresh_with_nothing_new_imports_nothing_that_computes(tmp_path):
    """NumPy, Arrow and ONNX Runtime take a third of a second."""
    shop = new_shop(tmp_path, [bought("ann", "2024-05-01T10:00", 10), viewed("bob", "2024-05-02T10:00")], RULES)
    shop.refresh()
    script = """
import sys
from sqlseg.cli.main import main
sys.argv = ["sqlseg", "refresh", "--project", sys.argv[1]]
code = 0
try:
    main()
except SystemExit as end:
    code = end.code or 0
print(code, *sorted({"numpy", "pyarrow", "onnxruntime", "scipy", "sklearn", "pandas"} & set(sys.modules)))
"""
    ran = run("-c", script, str(shop.directory))
    assert ran.stdout.splitlines()[-1] == "0", ran.stderr
    assert "Nothing is new" in ran.stdout


@pytest.mark.parametrize("module", ["sqlseg.cli.main", "sqlglot", "duckdb", "typer"])
def test_a_ctrl_c_while_the_command_is_imported_ends_it_with_a_sentence(module):
    """It is sent when the module is first asked for, and waits until all are there."""
    script = f"""
import signal, sys, time
import sqlseg.engine.arrow
signal.signal(signal.SIGINT, signal.default_int_handler)
class Pressed:
    def find_spec(name, path=None, target=None):
        if name == "{module}":
            sys.meta_path.remove(Pressed)
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Pressed)
sqlseg.engine.arrow.leave_pandas_out = lambda: time.sleep(20)  # it comes within a moment of the last import
from sqlseg.__main__ import main
main()
"""
    ran = run("-c", script)
    assert (ran.returncode, ran.stdout, ran.stderr) == (1, "", "Error: Interrupted.\n")


@pytest.mark.parametrize(
    ("made_of_it", "told"),
    [
        ("ZeroDivisionError('a library at a loss')", "Error: Interrupted.\n"),
        ("SqlsegError('The connection is busy.')", "Error: Interrupted. The connection is busy.\n"),
        ("SqlsegError('Interrupted; nothing is changed.')", "Error: Interrupted; nothing is changed.\n"),
    ],
)
def test_a_ctrl_c_of_which_a_library_has_made_something_else_is_one(made_of_it, told):
    script = f"""
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
import sqlseg.__main__ as process, sqlseg.cli.main as cli
from sqlseg.errors import SqlsegError
def app():
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        raise {made_of_it}
cli.app = app
process.main()
"""
    ran = run("-c", script)
    assert (ran.returncode, ran.stdout, ran.stderr) == (1, "", told)


def test_what_nobody_expected_is_told_as_by_any_other_program():
    broken = "import sys, sqlseg.__main__ as process, sqlseg.cli.main as cli\n"
    broken += "def fail(): raise ZeroDivisionError('unexpected')\ncli.main = fail\nprocess.main()"
    ran = run("-c", broken)
    assert ran.returncode == 1
    assert "ZeroDivisionError: unexpected" in ran.stderr and "leaked" not in ran.stderr


def test_what_was_to_be_done_at_the_end_is_done():
    script = "import atexit, sys\nfrom sqlseg.cli.process import end_process\n"
    script += "atexit.register(print, 'at the end')\nsys.stdout.write('x' * 300_000)\nend_process(3)"
    ran = run("-c", script)
    assert (ran.returncode, ran.stdout) == (3, "x" * 300_000 + "at the end\n")


def test_garbage_is_found_once_everything_is_imported():
    script = """
import gc, weakref
from sqlseg.cli.process import quick_imports
with quick_imports():
    assert not gc.isenabled()
    import sqlseg.cli.main, sqlseg.workflow.carrying_out
class Node: pass
one = Node(); one.itself = one
gone = weakref.ref(one); del one
assert gc.isenabled() and gc.get_freeze_count() > 50_000, gc.get_freeze_count()
held = []
while gone() is not None and len(held) < 100_000:
    held.append([])
assert gone() is None
"""
    ran = run("-c", script)
    assert (ran.returncode, ran.stderr) == (0, "")
