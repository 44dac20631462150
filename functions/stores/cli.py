"""`python -m stores.cli`: what an operator needs besides the API. Every command explains itself with --help.

migrate                 apply the missing migrations, as the tables' owner (URUMI_DATABASE_OWNER_URL)
token create | revoke   API tokens, shown once
token keep              make the token in URUMI_TOKEN known, as the platform's chart does with the first one
key                     draw a value for URUMI_CREDENTIALS_KEY
upgrade                 bring stores to the charts and settings of now; the sweep does the work
sweep                   post the sweep event to the sink, as the CronJob does
watch                   post what changes in the cluster to the sink, until it is told to end
dead-letters list | replay   events that could not be delivered
fault set | clear       make a simulated store fail
"""

import argparse
import os
import signal
import sys
from uuid import UUID

from stores import auth, db, dead_letters, events, lifecycle, logs, net
from stores.errors import UrumiError
from stores.settings import settings


def migrate(_: argparse.Namespace) -> None:
    conf = settings()
    if conf.database_owner_url is None:
        sys.exit("URUMI_DATABASE_OWNER_URL is not set: migrations run as the tables' owner.")
    applied = db.migrate(
        conf.database_owner_url.get_secret_value(),
        conf.database_url.get_secret_value(),
        simulator=conf.cluster == "simulated",
    )
    if conf.platform_id is not None:
        with db.connection() as conn:
            db.name_platform(conn, conf.platform_id)
    print(f"applied: {', '.join(applied)}" if applied else "nothing to apply")


def token_create(arguments: argparse.Namespace) -> None:
    token = auth.new_token()
    with db.connection() as conn:
        identifier = db.add_token(conn, owner=arguments.owner, role=arguments.role, token=token, days=arguments.days)
    print(f"id {identifier}, shown once:", file=sys.stderr)
    print(token)


def token_keep(arguments: argparse.Namespace) -> None:
    token = os.environ.get("URUMI_TOKEN", "")
    if not token.startswith(auth.PREFIX):
        sys.exit(f"URUMI_TOKEN must hold the token; it begins with {auth.PREFIX}.")
    with db.connection() as conn:
        known = db.keep_token(conn, owner=arguments.owner, role=arguments.role, token=token)
    print("the token is known now" if known else "the token was known already")


def token_revoke(arguments: argparse.Namespace) -> None:
    with db.connection() as conn:
        if not db.revoke_token(conn, arguments.id):
            sys.exit(f"There is no token {arguments.id}.")


def key(_: argparse.Namespace) -> None:
    from cryptography.fernet import Fernet

    print(Fernet.generate_key().decode())


def sink_to(do: str) -> str:
    sink = settings().sink
    if sink is None:
        sys.exit(f"K_SINK is not set: there is nobody to {do}.")
    return sink


def sweep(_: argparse.Namespace) -> None:
    sink = sink_to("send the sweep event to")
    headers, body = events.hint(events.SWEEP_DUE, source="/sweep")
    print(f"{sink} answered {net.post(sink, headers, body, seconds=45)}")


def watch(_: argparse.Namespace) -> None:
    from stores.watch import watch  # the API server's package is slow to import, and no other command needs it

    sink = sink_to("tell of changes")
    logs.configure()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # a container's first process has no default for it
    watch(sink, reconcile=settings().reconcile_url)


def upgrade(arguments: argparse.Namespace) -> None:
    for name in lifecycle.upgrade(name=arguments.name):
        print(f"{name}: to be upgraded")


def dead_letters_list(_: argparse.Namespace) -> None:
    for letter in dead_letters.waiting():
        answer = letter["error_code"] or "no answer"
        print(f"{letter['id']}  {letter['received_at']:%F %T}  {letter['type']}  {letter['subject']}  {answer}")


def dead_letters_replay(arguments: argparse.Namespace) -> None:
    sent = dead_letters.replay(sink_to("send the events to"), arguments.id)
    print(f"sent again: {', '.join(map(str, sent)) or 'none'}")


def fault_set(arguments: argparse.Namespace) -> None:
    with db.connection() as conn:
        conn.execute(
            "insert into simulator.faults (store_name, kind) values (%s, %s)"
            " on conflict (store_name) do update set kind = excluded.kind",
            (arguments.name, arguments.kind),
        )


def fault_clear(arguments: argparse.Namespace) -> None:
    with db.connection() as conn:
        conn.execute("delete from simulator.faults where store_name = %s", (arguments.name,))


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(prog="python -m stores.cli", description="Urumi for operators.")
    commands = root.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("migrate", help="apply the missing migrations").set_defaults(run=migrate)
    commands.add_parser("key", help="draw a value for URUMI_CREDENTIALS_KEY").set_defaults(run=key)
    commands.add_parser("sweep", help="post the sweep event to the sink").set_defaults(run=sweep)
    commands.add_parser("watch", help="post what changes in the cluster to the sink").set_defaults(run=watch)

    newer = commands.add_parser("upgrade", help="bring stores to the charts and settings of now")
    newer.add_argument("--name", help="this store only")
    newer.set_defaults(run=upgrade)

    token = commands.add_parser("token", help="API tokens").add_subparsers(required=True, metavar="ACTION")
    create = token.add_parser("create", help="draw a token; it is shown once")
    create.add_argument("--owner", required=True)
    create.add_argument("--role", choices=("owner", "admin"), default="owner")
    create.add_argument("--days", type=int, help="valid for so long; for ever without it")
    create.set_defaults(run=token_create)
    keep = token.add_parser("keep", help="make the token in URUMI_TOKEN known; one that was revoked stays so")
    keep.add_argument("--owner", required=True)
    keep.add_argument("--role", choices=("owner", "admin"), default="owner")
    keep.set_defaults(run=token_keep)
    revoke = token.add_parser("revoke", help="end a token")
    revoke.add_argument("id", type=UUID)
    revoke.set_defaults(run=token_revoke)

    letters = commands.add_parser("dead-letters", help="events that could not be delivered").add_subparsers(
        required=True, metavar="ACTION"
    )
    letters.add_parser("list", help="id, time, type, store, what reconcile answered").set_defaults(
        run=dead_letters_list
    )
    again = letters.add_parser("replay", help="send them to the sink again")
    again.add_argument("id", type=int, nargs="*", help="only these")
    again.set_defaults(run=dead_letters_replay)

    fault = commands.add_parser("fault", help="faults of the simulated cluster").add_subparsers(
        required=True, metavar="ACTION"
    )
    set_ = fault.add_parser("set")
    set_.add_argument("name")
    set_.add_argument("kind", choices=("image-pull", "volume-pending", "crash", "install-error", "unreachable"))
    set_.set_defaults(run=fault_set)
    clear = fault.add_parser("clear")
    clear.add_argument("name")
    clear.set_defaults(run=fault_clear)
    return root


def main() -> None:
    arguments = parser().parse_args()
    try:
        arguments.run(arguments)
    except (UrumiError, OSError, RuntimeError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
