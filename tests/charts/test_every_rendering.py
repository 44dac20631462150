"""What holds for each chart with each of its values files, and for each overlay of knative/."""

from __future__ import annotations

import copy
import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tests.charts.conftest import CHARTS, VALUES_FILES, Manifest, helm_binary, pods, values_of
from tests.charts.pod_security import faults

# Groups of others, whose schemas are not Kubernetes' own.
FOREIGN = {
    "cert-manager.io", "eventing.knative.dev", "gateway.networking.k8s.io", "monitoring.coreos.com",
    "sources.knative.dev", "traefik.io",
}  # fmt: skip
RESTRICTED: Manifest = {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [
        {"name": "a", "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}
    ],
}


@pytest.mark.parametrize("file", VALUES_FILES)
def test_helm_has_nothing_to_complain_about(file: str) -> None:
    chart = file.partition("/")[0]
    done = subprocess.run(
        [helm_binary(), "lint", "--strict", str(CHARTS / chart), "--values", str(CHARTS / file), "--values", "-"],
        input=json.dumps(values_of(chart)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_every_object_is_one_that_kubernetes_knows(
    renderings: dict[str, list[Manifest]], validate: Callable[[Manifest], None]
) -> None:
    for manifests in renderings.values():
        for manifest in manifests:
            if manifest["apiVersion"].partition("/")[0] not in FOREIGN:
                validate(manifest)


def test_every_pod_fits_the_restricted_pod_security_level(renderings: dict[str, list[Manifest]]) -> None:
    found = {
        f"{rendering}: {name}": faults(pod)
        for rendering, manifests in renderings.items()
        for name, pod in pods(manifests)
    }
    assert {rendering.partition(":")[0] for rendering in found} == set(renderings)
    assert {where: wrong for where, wrong in found.items() if wrong} == {}


def pod(path: str, value: Any) -> Manifest:
    """A pod as the standard wants it, but for one field."""
    changed = copy.deepcopy(RESTRICTED)
    *above, last = path.split(".")
    part: Any = changed
    for key in above:
        part = part[int(key)] if key.isdigit() else part.setdefault(key, {})
    part[last] = value
    return changed


def test_a_pod_as_the_restricted_level_wants_it_has_no_fault() -> None:
    assert faults(RESTRICTED) == []
    assert faults(pod("containers.0.securityContext.capabilities.add", ["NET_BIND_SERVICE"])) == []
    assert faults(pod("volumes", [{"name": "a", "emptyDir": {}}])) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("hostNetwork", True),
        ("hostPID", True),
        ("hostIPC", True),
        ("volumes", [{"name": "a", "hostPath": {"path": "/"}}]),
        ("volumes", [{"name": "a", "nfs": {"server": "a", "path": "/"}}]),
        ("securityContext.runAsNonRoot", False),
        ("securityContext.runAsUser", 0),
        ("securityContext.seccompProfile", {}),
        ("securityContext.seccompProfile.type", "Unconfined"),
        ("securityContext.appArmorProfile.type", "Unconfined"),
        ("securityContext.seLinuxOptions.type", "spc_t"),
        ("securityContext.seLinuxOptions.user", "system_u"),
        ("securityContext.sysctls", [{"name": "kernel.msgmax", "value": "1"}]),
        ("securityContext.windowsOptions.hostProcess", True),
        ("containers.0.securityContext.privileged", True),
        ("containers.0.securityContext.allowPrivilegeEscalation", True),
        ("containers.0.securityContext", {"capabilities": {"drop": ["ALL"]}}),
        ("containers.0.securityContext.capabilities", {}),
        ("containers.0.securityContext.capabilities.drop", ["CHOWN"]),
        ("containers.0.securityContext.capabilities.add", ["NET_ADMIN"]),
        ("containers.0.securityContext.runAsNonRoot", False),
        ("containers.0.securityContext.runAsUser", 0),
        ("containers.0.securityContext.seccompProfile.type", "Unconfined"),
        ("containers.0.securityContext.procMount", "Unmasked"),
        ("containers.0.ports", [{"containerPort": 80, "hostPort": 80}]),
        ("containers.0.livenessProbe.httpGet", {"port": 80, "host": "169.254.169.254"}),
        ("containers.0.lifecycle.preStop.tcpSocket", {"port": 80, "host": "169.254.169.254"}),
        ("initContainers", [{"name": "b"}]),
    ],
)
def test_what_the_restricted_level_forbids_is_found(path: str, value: Any) -> None:
    assert faults(pod(path, value))
