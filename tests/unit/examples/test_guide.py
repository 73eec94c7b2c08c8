"""The guide for those who write handlers."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
GUIDE = ROOT / "docs" / "writing-handlers.md"
PROGRAM = "from rejoinder_worker.loading import load; print(*(each.type for each in load(['guide']).handlers))"


def test_the_guides_python_is_one_module_that_a_worker_loads(tmp_path: Path) -> None:
    snippets = re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text(), flags=re.MULTILINE | re.DOTALL)
    (tmp_path / "guide.py").write_text("\n".join(snippets))
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert "" == done.stderr
    assert ["feeds.poll", "mail.send", "orders.confirm", "reports.generate"] == done.stdout.split()
