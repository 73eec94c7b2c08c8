"""What logs leave out."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys, structlog
from rejoinder_broker import logs

logs.configure(format=sys.argv[1])

def handle(request):
    raise LookupError("it is not there")

try:
    handle("the secret of a request")
except LookupError:
    structlog.get_logger("test").exception("handler failed")
"""


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_traceback_shows_no_local_variables(form: str) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, form], capture_output=True, text=True, check=True, timeout=30)

    assert "it is not there" in done.stderr
    assert "in handle" in done.stderr
    assert "secret" not in done.stderr.replace('handle("the secret of a request")', "")
