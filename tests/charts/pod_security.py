"""The Pod Security standard "restricted" of Kubernetes 1.34, as far as a pod's specification can break it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Object = dict[str, Any]

VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip
SELINUX_TYPES = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
SYSCTLS = {
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range", "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem", "net.ipv4.tcp_syncookies", "net.ipv4.tcp_wmem",
}  # fmt: skip


def faults(pod: Object) -> list[str]:
    """What the standard forbids in this specification, each as the field and what is wrong with it."""
    shared = pod.get("securityContext", {})
    found = [f"{field}: shares the node's own" for field in ("hostNetwork", "hostPID", "hostIPC") if pod.get(field)]
    for volume in pod.get("volumes", []):
        found += [f"volumes: {kind} is not allowed" for kind in volume.keys() - {"name"} - VOLUMES]
    for sysctl in shared.get("sysctls", []):
        if sysctl["name"] not in SYSCTLS:
            found.append(f"sysctls: {sysctl['name']} is not allowed")
    found += _of_any(shared)
    for container in (c for kind in ("initContainers", "containers", "ephemeralContainers") for c in pod.get(kind, [])):
        found += [f"{container['name']}: {fault}" for fault in _of_a_container(container, shared)]
    return found


def _of_any(context: Object) -> Iterator[str]:
    """Of a security context, whether it is the pod's or a container's."""
    if context.get("runAsUser") == 0:
        yield "runAsUser: is root"
    if context.get("windowsOptions", {}).get("hostProcess"):
        yield "hostProcess: runs on the node"
    if context.get("seccompProfile", {}).get("type") == "Unconfined":
        yield "seccompProfile: is Unconfined"
    if context.get("appArmorProfile", {}).get("type") == "Unconfined":
        yield "appArmorProfile: is Unconfined"
    selinux = context.get("seLinuxOptions", {})
    if selinux.get("user") or selinux.get("role") or selinux.get("type", "") not in SELINUX_TYPES:
        yield "seLinuxOptions: is another than a container's"


def _of_a_container(container: Object, shared: Object) -> Iterator[str]:
    own = container.get("securityContext", {})
    yield from _of_any(own)
    if own.get("privileged"):
        yield "privileged: owns the node"
    if own.get("procMount", "Default") != "Default":
        yield "procMount: shows more than it must"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation: is not false"
    capabilities = own.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", []):
        yield "capabilities: does not drop ALL"
    if set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
        yield "capabilities: adds some"
    if own.get("runAsNonRoot", shared.get("runAsNonRoot")) is not True:
        yield "runAsNonRoot: is not true"
    if "type" not in own.get("seccompProfile", shared.get("seccompProfile", {})):
        yield "seccompProfile: is not set"
    if any(port.get("hostPort") for port in container.get("ports", [])):
        yield "hostPort: takes a port of the node"
    hooks = [container.get(f"{probe}Probe", {}) for probe in ("startup", "readiness", "liveness")]
    hooks += container.get("lifecycle", {}).values()
    if any(hook.get(way, {}).get("host") for hook in hooks for way in ("httpGet", "tcpSocket")):
        yield "host: a probe asks another host"
