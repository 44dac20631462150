"""The connection to the API server: whose certificate it believes, and that threads may share it."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.serialization import Encoding

from stores.apiserver import ApiServer
from stores.errors import ClusterError
from tests.certificate import self_signed
from tests.support import FUNCTIONS, clean_environment, lost

THREADS = 8
TRIES = 50


class Files:
    """A server's and a client's certificate as files, and a kubeconfig that leads to the server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, host in (("server", "localhost"), ("client", "merchant"), ("stranger", "localhost")):
            certificate, key = self_signed(host)
            (folder / f"{name}.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
            (folder / f"{name}.key").write_text(key)

    def kubeconfig(self, port: int, **cluster: Any) -> str:
        believed = {"certificate-authority": str(self.folder / "server.crt")}
        where = {"server": f"https://localhost:{port}", **(cluster or believed)}
        user = {"client-certificate": str(self.folder / "client.crt"), "client-key": str(self.folder / "client.key")}
        config = {
            "clusters": [{"name": "it", "cluster": where}],
            "users": [{"name": "it", "user": user}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            "current-context": "it",
        }
        path = self.folder / "kubeconfig"
        path.write_text(yaml.safe_dump(config))
        return str(path)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


class Answer(BaseHTTPRequestHandler):
    """Says who asks, by the certificate that they show."""

    def do_GET(self) -> None:
        subject = dict(pair[0] for pair in self.connection.getpeercert()["subject"])  # type: ignore[attr-defined]
        body = json.dumps({"name": subject["commonName"]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def port(files: Files) -> Iterator[int]:
    """A server that wants to see the client's certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(files.folder / "client.crt"))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(files.folder / "server.crt", files.folder / "server.key")
    server = ThreadingHTTPServer(("localhost", 0), Answer)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


def find(config: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", config)
    return ApiServer()._find("/api/v1/namespaces/it")


def test_the_authority_of_the_kubeconfig_is_believed_and_its_certificate_is_shown(
    files: Files, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find(files.kubeconfig(port), monkeypatch) == {"name": "merchant"}


@pytest.mark.parametrize("believed", ["stranger.crt", None], ids=["another authority", "no authority"])
def test_a_server_that_nobody_vouches_for_is_not_spoken_to(
    believed: str | None, files: Files, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = {"certificate-authority": str(files.folder / believed)} if believed else {"tls-server-name": "localhost"}
    with pytest.raises(ClusterError, match="does not answer: MaxRetryError"):
        find(files.kubeconfig(port, **cluster), monkeypatch)


def test_a_kubeconfig_may_say_that_certificates_do_not_matter(
    files: Files, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = files.kubeconfig(port, **{"insecure-skip-tls-verify": True})
    with pytest.warns(match="Unverified HTTPS request"):
        assert find(config, monkeypatch) == {"name": "merchant"}


def test_a_lost_first_packet_costs_tenths_of_a_second(files: Files, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = lost(monkeypatch, 1, until=threading.Event())
    began = time.monotonic()
    assert find(files.kubeconfig(port), monkeypatch) == {"name": "merchant"}
    assert time.monotonic() - began < 0.9, "a second is what the kernel would have waited"
    assert len(tries) == 2


CROWD = f"""
import threading
from stores.apiserver import ApiServer
from stores.errors import ClusterError

server = ApiServer()

def ask():
    for _ in range({TRIES}):
        try:
            server._find("/api/v1/namespaces/it")
        except ClusterError as error:
            assert error.cause == "cluster-away", error

threads = [threading.Thread(target=ask) for _ in range({THREADS})]
for thread in threads: thread.start()
for thread in threads: thread.join()
print("all asked")
"""


def test_threads_that_connect_at_the_same_time_do_not_end_the_process(files: Files) -> None:
    """As a proxy does whose API server is away: it takes a connection and ends it."""
    with socket.create_server(("localhost", 0), backlog=128) as server:

        def hang_up() -> None:
            while True:
                try:
                    server.accept()[0].close()
                except OSError:
                    return

        thread = threading.Thread(target=hang_up)
        thread.start()
        config = files.kubeconfig(server.getsockname()[1])
        environment = clean_environment(KUBECONFIG=config, PYTHONPATH=str(FUNCTIONS))
        crowd = subprocess.run(
            [sys.executable, "-c", CROWD], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert (crowd.returncode, crowd.stdout) == (0, "all asked\n"), crowd.stderr[-500:]
