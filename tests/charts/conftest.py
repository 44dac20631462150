"""Fixtures of the chart tests: charts rendered by the real helm, checked against Kubernetes' own schemas."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from stores import helm

ROOT = Path(__file__).parents[2]
CHARTS = ROOT / "charts"
Manifest = dict[str, Any]
Render = Callable[..., list[Manifest]]

# Without a store there is nothing to render in an engine's chart; the platform's takes its files alone.
STORE = {
    "id": "0190a1b2-3c4d-4e5f-8a6b-7c8d9e0f1a2b",
    "name": "shop",
    "host": "shop.example.test",
    "url": "https://shop.example.test",
    "owner": "owner-1",
}
WARM = STORE | {"name": "", "host": "", "url": "", "owner": "warm"}  # one in stock
VALUES_FILES = sorted(str(file.relative_to(CHARTS)) for file in CHARTS.glob("*/values*.yaml"))
OVERLAYS = sorted(folder.name for folder in (ROOT / "knative" / "overlays").iterdir())


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


def values_of(chart: str) -> Manifest:
    """What a rendering of the chart needs besides its values files."""
    return {} if chart == "platform" else {"store": STORE}


@pytest.fixture(scope="session")
def renderings(render: Render) -> dict[str, list[Manifest]]:
    """All that we would ever apply: each chart with each of its values files, each overlay of knative/."""
    found = {}
    for each in VALUES_FILES:
        chart, _, file = each.partition("/")
        found[each.removesuffix(".yaml")] = render(chart, values_of(chart), file)
    for overlay in OVERLAYS:
        command = [helm.binary("kubectl"), "kustomize", str(ROOT / "knative" / "overlays" / overlay)]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        documents = [document for document in yaml.safe_load_all(text) if document]
        found[f"knative/{overlay}"] = [as_deployment(each) if is_function(each) else each for each in documents]
    return found


def is_function(manifest: Manifest) -> bool:
    return bool(manifest["kind"] == "Service" and manifest["apiVersion"].startswith("serving.knative.dev/"))


def as_deployment(function: Manifest) -> Manifest:
    """What Knative makes of its Service, for checkers that know Kubernetes alone."""
    template = copy.deepcopy(function["spec"]["template"])
    for own in ("containerConcurrency", "timeoutSeconds", "responseStartTimeoutSeconds"):
        del template["spec"][own]
    spec = {"selector": {"matchLabels": template["metadata"]["labels"]}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": function["metadata"], "spec": spec}


@pytest.fixture(scope="session")
def validate() -> Callable[[Manifest], None]:
    """Raises for an object that Kubernetes would not know."""
    return lambda manifest: kubernetes_validate.validate(manifest, "1.34", strict=True)


def is_of_a_test(manifest: Manifest) -> bool:
    """Whether `helm test` alone applies it, and no install."""
    return bool(manifest["metadata"].get("annotations", {}).get("helm.sh/hook") == "test")


def pods(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """(workload, specification) of every pod, that of `helm test` included."""
    for manifest in manifests:
        spec = manifest.get("spec", {})
        if manifest["kind"] == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        if manifest["kind"] in ("Deployment", "StatefulSet", "Job", "CronJob"):
            spec = spec["template"]["spec"]
        if "containers" in spec:
            yield manifest["metadata"]["name"], spec


def pod_specs(manifests: list[Manifest]) -> dict[str, Manifest]:
    """The pod templates' specs by workload name."""
    return dict(pods([manifest for manifest in manifests if manifest["kind"] != "Pod"]))


def named(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    """The one object of that kind and name."""
    (found,) = [m for m in manifests if m["kind"] == kind and m["metadata"]["name"] == name]
    return found
