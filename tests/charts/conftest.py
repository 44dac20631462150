"""Fixtures of the chart tests: charts rendered by the real helm, checked against Kubernetes' own schemas."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from stores import helm

CHARTS = Path(__file__).parents[2] / "charts"
Manifest = dict[str, Any]
Render = Callable[..., list[Manifest]]


def helm_binary() -> str:
    """The environment's HELM, the one on the PATH, or the one that comes with the platform."""
    return os.environ.get("HELM") or shutil.which("helm") or str(helm.binary("helm"))


@pytest.fixture(scope="session")
def render() -> Render:
    """``render(chart, values, *files)``: a release's objects; a refusal raises CalledProcessError with helm's words."""

    def rendered(chart: str, values: Manifest | None = None, *files: str) -> list[Manifest]:
        folder = CHARTS / chart
        more = [argument for file in files for argument in ("--values", str(folder / file))]
        done = subprocess.run(
            [helm_binary(), "template", "store", str(folder), "--namespace", "store-test", *more, "--values", "-"],
            input=json.dumps(values or {}),
            capture_output=True,
            text=True,
            check=True,
        )
        return [document for document in yaml.safe_load_all(done.stdout) if document]

    return rendered


@pytest.fixture(scope="session")
def validate() -> Callable[[Manifest], None]:
    """Raises for an object that Kubernetes would not know."""
    return lambda manifest: kubernetes_validate.validate(manifest, "1.34", strict=True)


def pod_specs(manifests: list[Manifest]) -> dict[str, Manifest]:
    """The pod templates' specs by workload name."""
    kinds = ("Deployment", "StatefulSet", "Job", "CronJob")
    found = {}
    for manifest in manifests:
        if manifest["kind"] in kinds:
            spec = manifest["spec"]
            template = spec["jobTemplate"]["spec"]["template"] if manifest["kind"] == "CronJob" else spec["template"]
            found[manifest["metadata"]["name"]] = template["spec"]
    return found


def named(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    """The one object of that kind and name."""
    (found,) = [m for m in manifests if m["kind"] == kind and m["metadata"]["name"] == name]
    return found
