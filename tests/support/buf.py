"""`buf curl`, which speaks gRPC with nothing but a server's reflection."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BUF = Path(sys.executable).with_name("buf")
SERVICE = "rejoinder.v1.OperationService"
LIMIT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command printed, and how it ended."""

    status: int
    output: str
    errors: str

    @property
    def messages(self) -> list[Any]:
        """The JSON documents on standard output, one for each message."""
        decoder, text, found = json.JSONDecoder(), self.output.strip(), []
        while text:
            message, end = decoder.raw_decode(text)
            found.append(message)
            text = text[end:].strip()
        return found

    @property
    def message(self) -> Any:
        """The one JSON document on standard output."""
        assert not self.status, self.errors
        [message] = self.messages
        return message

    @property
    def error(self) -> Any:
        """The JSON document on standard error."""
        return json.loads(self.errors)


def buf(*arguments: str) -> Answer:
    """Run buf where no file of the contract is found."""
    done = subprocess.run(
        [BUF, *arguments], capture_output=True, text=True, cwd="/", timeout=LIMIT_SECONDS, check=False
    )
    return Answer(done.returncode, done.stdout, done.stderr)


def call(address: str, method: str, request: Any = None, *, service: str = SERVICE) -> Answer:
    """Call a method with a request as JSON."""
    return buf("curl", "--protocol", "grpc", "-d", json.dumps(request or {}), f"http://{address}/{service}/{method}")
