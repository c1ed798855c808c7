"""The one family of errors that sqlseg raises for its readers: what is wrong, what was given, what to do next."""


class SqlsegError(Exception):
    """A problem that the reader of its message can solve.

    `hint` says what to do next. The command line prints both and exits with 1; anything that is not
    a `SqlsegError` is a bug of sqlseg and shows its traceback.

    >>> error = SqlsegError("No project here.", hint="Run `sqlseg init .` first.")
    >>> print(error.message, error.hint)
    No project here. Run `sqlseg init .` first.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class OtherModelFormat(SqlsegError):
    """A stored model was written by a release that writes models in another way."""

    def __init__(self, what: str, found: object, known: int) -> None:
        super().__init__(
            f"The stored {what} has format {found!r}, this version reads {known}.",
            hint="Fit it anew: sqlseg refresh --refit always.",
        )
