"""`python -m sqlseg`: the same as the command `sqlseg`."""

from sqlseg.cli.main import main

main()
