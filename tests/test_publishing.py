"""What runs elsewhere: the workflows and Binder's files."""

import ast
import os
import re
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest
import yaml

from tools import pages

WORKFLOWS = sorted((pages.ROOT / ".github" / "workflows").glob("*.yml"))
PYPROJECT = (pages.ROOT / "pyproject.toml").read_text(encoding="utf-8")
MAIN_ONLY = "github.event_name == 'push' && github.ref == 'refs/heads/main'"


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.stem)
def workflow(request):
    return yaml.safe_load(request.param.read_text(encoding="utf-8")), request.param.read_text(encoding="utf-8")


def steps(workflow):
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_every_command_is_a_target_of_the_makefile_that_the_readme_names(workflow):
    makefile = (pages.ROOT / "Makefile").read_text(encoding="utf-8")
    readme = (pages.ROOT / "README.md").read_text(encoding="utf-8")
    commands = [step["run"] for step in steps(workflow[0]) if "run" in step]
    assert commands
    for command in commands:
        target = re.fullmatch(r"make (\w+)", command)[1]
        assert re.search(rf"^{target}:", makefile, re.M) and f"make {target}" in readme, command


def test_it_opens_no_secrets(workflow):
    parsed, text = workflow
    triggers = parsed[True]  # YAML reads the key "on" as a truth value
    assert "pull_request_target" not in triggers and "workflow_run" not in triggers
    assert "secrets." not in text and "github.token" not in text
    assert parsed["permissions"] == {"contents": "read"}
    for name, job in parsed["jobs"].items():
        if "permissions" in job:
            assert name == "deploy" and job["permissions"] == {"pages": "write", "id-token": "write"}
            assert job["if"] == MAIN_ONLY
    for step in steps(parsed):
        if "uses" in step:
            assert re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"])
        if "checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False
        if "upload-pages" in step.get("uses", ""):
            assert step["if"] == f"{MAIN_ONLY} && matrix.python == '3.11'"  # once, though two jobs build the book


def test_one_is_weekly_and_one_deploys():
    parsed = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in WORKFLOWS}
    minute, hour, day, month, weekday = parsed["newest"][True]["schedule"][0]["cron"].split()
    assert (day, month) == ("*", "*") and weekday.isdigit()
    assert parsed["book"]["jobs"]["deploy"]["needs"] == "test"


def test_the_oldest_and_the_newest_python_are_tested():
    book = yaml.safe_load((pages.ROOT / ".github" / "workflows" / "book.yml").read_text(encoding="utf-8"))
    job = book["jobs"]["test"]
    versions = job["strategy"]["matrix"]["python"]
    setup = next(step for step in job["steps"] if "setup-python" in step.get("uses", ""))
    assert setup["with"]["python-version"] == "${{ matrix.python }}"
    assert job["env"]["PYTHON"] == "python${{ matrix.python }}"  # that make sets up .venv with
    assert f'requires-python = ">={versions[0]}"' in PYPROJECT and "3.13" in versions


def test_binder_has_the_pinned_versions_of_all_that_the_package_needs():
    binder = pages.ROOT / ".binder"
    pins = (pages.ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    here = [line for line in (binder / "requirements.txt").read_text(encoding="utf-8").splitlines() if "==" in line]
    assert set(here) <= set(pins)
    needed = tomllib.loads(PYPROJECT)["project"]["dependencies"]
    assert {re.split("[>=]", line)[0] for line in needed} <= {line.split("==")[0] for line in here}
    assert os.access(binder / "postBuild", os.X_OK)
    assert (binder / "postBuild").read_text(encoding="utf-8").startswith("#!/bin/bash\n")
    runtime = re.fullmatch(r"python-(\d+)\.(\d+)\n", (binder / "runtime.txt").read_text(encoding="utf-8"))
    assert (int(runtime[1]), int(runtime[2])) >= (3, 11)


# Needed by a package that is imported, for what we use of it: no import of ours shows it
UNSEEN = {"pyarrow": "polars reads a pandas table through it", "ipywidgets": "tqdm draws its bar in a notebook with it"}
# Code of others that a benchmark is measured against: no package of ours asks for it
PEERS = {"algorithms", "evaluation", "gru4rec_pytorch", "surprise"}


def imported(folder):
    """The top-level names of all that the modules of a folder import."""
    for path in (pages.ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                yield node.module.partition(".")[0]


def test_what_is_imported_is_declared_and_what_is_declared_is_imported():
    project = tomllib.loads(PYPROJECT)["project"]
    declared = {re.split("[>=]", line)[0] for line in sum(project["optional-dependencies"].values(),
                                                          project["dependencies"])}
    names = {*imported("rnnbook"), *imported("benchmarks")} - sys.stdlib_module_names - PEERS - {"rnnbook"}
    distributions = packages_distributions()  # which looks into all that is installed
    used = {distributions[name][0] for name in names}
    assert used - declared == set(), "imported, but not in pyproject.toml"
    assert declared - used - UNSEEN.keys() == set(), "in pyproject.toml, but not imported"
