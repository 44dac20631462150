"""Migrations: once each, safe when several start at once, and rights that suffice and no more."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from stores import db
from tests.support import FUNCTIONS, Database, Postgres, clean_environment, environment

ALL = sorted(path.name for path in db.MIGRATIONS.glob("*.sql"))
SIMULATOR = sorted(path.name for path in (db.MIGRATIONS / "simulator").glob("*.sql"))


@pytest.fixture
def empty(postgres: Postgres) -> Iterator[Database]:
    database = postgres.create()
    yield database
    postgres.drop(database)


@pytest.fixture
def own_migrations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one migration, in place of ours."""
    (tmp_path / "0001.first.sql").write_text("create table first (id integer)", encoding="utf-8")
    monkeypatch.setattr(db, "MIGRATIONS", tmp_path)
    return tmp_path


def migrate(database: Database) -> list[str]:
    return db.migrate(database.owner_url, database.app_url, simulator=False)


def test_a_second_start_changes_nothing(empty: Database) -> None:
    assert db.migrate(empty.owner_url, empty.app_url, simulator=True) == [*ALL, *SIMULATOR]
    before = empty.rows("select * from migrations order by name")
    assert db.migrate(empty.owner_url, empty.app_url, simulator=True) == []
    assert empty.rows("select * from migrations order by name") == before
    assert empty.value("select count(*) from platform") == 1


def test_the_simulators_tables_are_made_only_where_they_are_needed(empty: Database) -> None:
    assert migrate(empty) == ALL
    assert empty.value("select to_regnamespace('simulator') is null")


def test_four_starts_at_once_apply_each_file_once(empty: Database) -> None:
    command = [sys.executable, "-m", "stores.cli", "migrate"]
    variables = clean_environment(**environment(empty), PYTHONPATH=str(FUNCTIONS))
    started = [subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    said = sorted(process.communicate(timeout=60)[0].strip() for process in started)
    assert [process.returncode for process in started] == [0] * 4
    assert said == [f"applied: {', '.join([*ALL, *SIMULATOR])}", *["nothing to apply"] * 3]
    assert empty.value("select count(*) from platform") == 1


def test_only_what_is_new_is_applied(empty: Database, own_migrations: Path) -> None:
    migrate(empty)
    (own_migrations / "0002.second.sql").write_text("create table second (id integer)", encoding="utf-8")
    assert migrate(empty) == ["0002.second.sql"]


def test_a_file_that_was_changed_after_it_was_applied_is_refused(empty: Database, own_migrations: Path) -> None:
    migrate(empty)
    (own_migrations / "0001.first.sql").write_text("create table other (id integer)", encoding="utf-8")
    with pytest.raises(RuntimeError, match=r"0001\.first\.sql was changed"):
        migrate(empty)


def test_a_file_that_fails_leaves_nothing_of_the_whole_start(empty: Database, own_migrations: Path) -> None:
    (own_migrations / "0002.bad.sql").write_text("create table second (id integer); select nonsense", encoding="utf-8")
    with pytest.raises(psycopg.Error):
        migrate(empty)
    assert empty.rows("select tablename from pg_tables where schemaname = 'public'") == []


TABLES = ["stores", "store_steps", "store_events", "audit_logs", "idempotency_keys", "api_tokens", "store_credentials"]


@pytest.mark.parametrize(
    "statement",
    [
        *(f"drop table {table}" for table in TABLES),
        *(f"alter table {table} add column x integer" for table in TABLES),
        *(f"truncate {table}" for table in TABLES),
        "create table public.mine (id integer)",
        "create schema mine",
        "create function public.f() returns integer language sql as 'select 1'",
        "create trigger t before update on stores execute function suppress_redundant_updates_trigger()",
        "create index on stores (owner)",
        "create role somebody",
        "create database another",
        "create temporary table if not exists t (id integer); copy t from program 'id'",
        "alter role urumi_app superuser",
        "set role postgres",
        "delete from migrations",
        "update audit_logs set user_id = 'somebody else'",
        "delete from store_events",
        "update migrations set digest = ''",
        "insert into migrations (name, digest) values ('9999.sql', '')",
        "select rolpassword from pg_authid",
        "select pg_read_file('postgresql.conf')",
        "drop schema simulator cascade",
    ],
)
def test_the_functions_role_may_not(database: Database, statement: str) -> None:
    with (
        psycopg.connect(database.app_url, autocommit=True) as conn,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        conn.execute(statement.encode())


def test_the_functions_role_may_read_and_write_rows(database: Database) -> None:
    with psycopg.connect(database.app_url, autocommit=True) as conn:
        conn.execute("insert into audit_logs (user_id, action, outcome) values ('alice', 'create', 'accepted')")
        conn.execute("update platform set swept_at = now()")
        assert conn.execute("select name from migrations").fetchall()


def test_the_functions_role_owns_nothing_and_is_no_more_than_a_login(database: Database) -> None:
    role = "select oid from pg_roles where rolname = 'urumi_app'"
    assert database.rows(f"select relname from pg_class where relowner = ({role})") == []  # noqa: S608
    assert database.rows(
        "select rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls, rolcanlogin from pg_roles"
        " where rolname = 'urumi_app'"
    ) == [(False, False, False, False, False, True)]


def test_the_roles_password_is_the_one_in_the_functions_address(empty: Database, own_migrations: Path) -> None:
    assert own_migrations
    for password in ("first", "it's; second"):
        address = f"host={empty.socket} dbname={empty.name} user=urumi_other password='{password}'".replace("it's", "s")
        db.migrate(empty.owner_url, address, simulator=False)
    assert empty.value("select rolpassword like 'SCRAM-SHA-256$%%' from pg_authid where rolname = 'urumi_other'")
    empty.rows("drop owned by urumi_other")
    empty.rows("drop role urumi_other")
