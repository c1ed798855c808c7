"""Calls an address of the reader's when something needs attention; nothing else in sqlseg uses the network."""

import json
from collections.abc import Mapping
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from sqlseg.errors import SqlsegError

TIMEOUT_SECONDS = 10


class WebhookFailed(SqlsegError):
    """The webhook did not take the call. The address may hold a secret, so only its host is named."""

    def __init__(self, address: str, detail: str) -> None:
        super().__init__(f"The webhook at {urlsplit(address).hostname} did not take the call: {detail}.")


def call_webhook(address: str, body: Mapping[str, object]) -> None:
    """POST a JSON object, and wait ten seconds at most for the answer. Raises WebhookFailed."""
    request = Request(
        address,
        data=json.dumps(body, ensure_ascii=False).encode("utf-8"),
        headers={"Content-Type": "application/json", "User-Agent": "sqlseg"},
        method="POST",
    )
    try:
        with urlopen(request, timeout=TIMEOUT_SECONDS):
            return
    except HTTPError as error:
        error.close()
        raise WebhookFailed(address, f"it answered {error.code} {error.reason}") from error
    except (URLError, OSError, ValueError) as error:
        raise WebhookFailed(address, str(getattr(error, "reason", error))) from error
