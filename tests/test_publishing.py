"""What runs elsewhere: the workflows and Binder's files."""

import os
import re

import pytest
import yaml

from tools import pages

WORKFLOWS = sorted((pages.ROOT / ".github" / "workflows").glob("*.yml"))
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
            assert step["if"] == MAIN_ONLY


def test_one_is_weekly_and_one_deploys():
    parsed = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in WORKFLOWS}
    minute, hour, day, month, weekday = parsed["newest"][True]["schedule"][0]["cron"].split()
    assert (day, month) == ("*", "*") and weekday.isdigit()
    assert parsed["book"]["jobs"]["deploy"]["needs"] == "test"


def test_binder_has_the_pinned_versions_of_all_that_the_package_needs():
    binder = pages.ROOT / ".binder"
    pins = (pages.ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    here = [line for line in (binder / "requirements.txt").read_text(encoding="utf-8").splitlines() if "==" in line]
    assert set(here) <= set(pins)
    package = (pages.ROOT / "pyproject.toml").read_text(encoding="utf-8")
    needed = re.search(r"^dependencies = \[(.*?)^\]", package, re.M | re.S)[1]
    assert set(re.findall(r'"([\w-]+)>=', needed)) <= {line.split("==")[0] for line in here}
    assert os.access(binder / "postBuild", os.X_OK)
    assert (binder / "postBuild").read_text(encoding="utf-8").startswith("#!/bin/bash\n")
    runtime = re.fullmatch(r"python-(\d+)\.(\d+)\n", (binder / "runtime.txt").read_text(encoding="utf-8"))
    assert (int(runtime[1]), int(runtime[2])) >= (3, 11)
