"""Why a store is not up, read from what Kubernetes says of its objects, in words for its owner. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stores.model import Problem

Object = Mapping[str, Any]


def problem(
    *,
    pods: Sequence[Object] = (),
    claims: Sequence[Object] = (),
    deployments: Sequence[Object] = (),
    events: Sequence[Object] = (),
) -> Problem | None:
    """The most telling reason, or None while everything simply takes its time."""
    # The volume's own event names the cause; the scheduler only says that its pod waits for a volume.
    found = [*_of_events(events, claims), *_of_deployments(deployments), *_of_pods(pods)]
    return min(found, key=lambda each: ORDER.index(each.reason), default=None)


# What hides what: a pod that was never made says nothing of its image.
ORDER = ["quota", "image-pull", "volume-pending", "configuration", "unschedulable", "crash-loop", "not-ready"]

_WAITING = {
    "ErrImagePull": "image-pull",
    "ImagePullBackOff": "image-pull",
    "ErrImageNeverPull": "image-pull",
    "InvalidImageName": "image-pull",
    "CreateContainerConfigError": "configuration",
    "CreateContainerError": "configuration",
    "RunContainerError": "configuration",
    "CrashLoopBackOff": "crash-loop",
}
_SENTENCES = {
    "image-pull": "An image of the store cannot be pulled",
    "configuration": "A part of the store cannot be started",
    "crash-loop": "A part of the store keeps ending right after its start",
}


def _of_pods(pods: Sequence[Object]) -> Iterator[Problem]:
    for pod in pods:
        status = pod.get("status", {})
        part = pod["metadata"].get("labels", {}).get("app.kubernetes.io/component", pod["metadata"]["name"])
        containers = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
        for container in containers:
            waiting = container.get("state", {}).get("waiting") or {}
            reason = _WAITING.get(waiting.get("reason", ""))
            if reason:
                last = container.get("lastState", {}).get("terminated") or {}
                why = waiting.get("message") or ""
                if reason == "crash-loop":
                    why = f"exit code {last.get('exitCode', 'unknown')}"
                if reason == "image-pull":
                    why = f"{container.get('image')}: {why}"
                yield Problem(reason, f"{_SENTENCES[reason]} ({part}): {_short(why)}")
        for condition in status.get("conditions", []):
            if condition["type"] == "PodScheduled" and condition["status"] == "False":
                message = condition.get("message", "")
                if "PersistentVolumeClaim" in message or "persistentvolumeclaim" in message:
                    yield Problem(
                        "volume-pending", f"A volume of the store cannot be bound ({part}): {_short(message)}"
                    )
                else:
                    yield Problem("unschedulable", f"The cluster has no room for the store ({part}): {_short(message)}")


def _of_deployments(deployments: Sequence[Object]) -> Iterator[Problem]:
    for deployment in deployments:
        for condition in deployment.get("status", {}).get("conditions", []):
            if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
                yield _refused(condition.get("message", ""))


def _of_events(events: Sequence[Object], claims: Sequence[Object]) -> Iterator[Problem]:
    pending = {c["metadata"]["name"] for c in claims if c.get("status", {}).get("phase") == "Pending"}
    for event in events:
        about = event.get("involvedObject") or event.get("regarding") or {}
        message = event.get("message") or event.get("note") or ""
        if event.get("reason") == "FailedCreate":
            yield _refused(message)
        if event.get("reason") == "ProvisioningFailed" and about.get("name") in pending:
            yield Problem("volume-pending", f"A volume of the store cannot be made: {_short(message)}")


def _refused(message: str) -> Problem:
    if "quota" in message:
        return Problem("quota", f"The store's quota is too small for it: {_short(message)}")
    return Problem("configuration", f"A part of the store was refused: {_short(message)}")


def _short(message: str) -> str:
    text = " ".join(message.split())
    return text if len(text) <= 240 else text[:239] + "…"
