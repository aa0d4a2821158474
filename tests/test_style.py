"""What runs before a commit finds nothing in the code as it is: ruff in all of it, mypy in the package."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tools import pages

CONFIG = yaml.safe_load((pages.ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
HOOKS = {hook["id"]: hook["entry"].split() for repo in CONFIG["repos"] for hook in repo["hooks"]}


@pytest.mark.parametrize("hook", ["ruff", "mypy"])
def test_a_hook_finds_nothing(hook):
    tool, *arguments = HOOKS[hook]
    assert Path(tool).parent == Path(".venv/bin")  # where the pinned versions are
    command = [Path(sys.executable).with_name(Path(tool).name), *arguments]
    done = subprocess.run(command, cwd=pages.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
