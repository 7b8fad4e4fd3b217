"""The version of a study's tables: marked in the database, checked when it is opened, and raised step by step.

SQLite keeps it as ``user_version``, other databases in a table of one row. What changes a table raises `VERSION`, adds
a step to `_STEPS`, and a database of the version before to the tests.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from sqlalchemy import Column, Connection, Engine, Integer, MetaData, Table, inspect, select
from sqlalchemy import update as update_rows

from ..files.errors import InputError
from .tables import Annotator, Base, secret_hash

__all__ = ["VERSION", "prepare"]

_LOG = logging.getLogger(__name__)

#: Of the tables in `poseterior.annotate.tables`.
VERSION = 1
#: Where a database has no place of its own for it.
_mark = Table("poseterior_schema", MetaData(), Column("version", Integer, nullable=False))
#: Tables of version 0, which had no mark, and their columns.
_FIRST = {
    "settings": {"id", "key", "skeleton", "pairs", "seed"},
    "task": {"id", "image", "joint_a", "joint_b", "gold", "answers"},
    "annotator": {"id", "key", "name", "tutorial", "tutorial_errors", "time"},
    "answer": {
        "id", "annotator_id", "task_id", "client_id", "label", "confidence", "first", "seconds", "time", "stands",
    },
}  # fmt: skip


def prepare(engine: Engine, name: str) -> None:
    """Make the tables of an empty database, or check those that are there and bring them to `VERSION`.

    Everything is done in one transaction: a process that is killed in it leaves the database as it was.

    Args:
        engine: the database.
        name: what to call it in messages.

    Raises:
        InputError: tables of something else, or damaged, or of a later version.
    """
    with engine.connect() as connection:
        _check_whole(connection, name)
        if _version(connection, name) == VERSION:
            _check_tables(
                connection, name, {table.name: set(table.columns.keys()) for table in Base.metadata.sorted_tables}
            )
            return
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # another process may be about to do the same
        version = _version(connection, name)
        if version is None:
            Base.metadata.create_all(connection)
        else:
            for step in range(version, VERSION):
                _STEPS[step](connection, name)
        _set_version(connection)
        connection.commit()
    if version is not None and version < VERSION:
        _LOG.warning("%s: brought from version %d of its tables to version %d", name, version, VERSION)


def _version(connection: Connection, name: str) -> int | None:
    """Version of the tables; None where there are none."""
    there = set(inspect(connection).get_table_names())
    if connection.dialect.name == "sqlite":
        version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    elif _mark.name in there:
        version = connection.scalar(select(_mark.c.version)) or 0
    else:
        version = 0
    if version > VERSION and there >= _FIRST.keys():
        raise InputError(
            f"{name}: was written by a later poseterior (version {version} of its tables, this one knows {VERSION}): "
            "update poseterior: pip install --upgrade poseterior"
        )
    if not there & _FIRST.keys():
        if version or (there and connection.dialect.name == "sqlite"):
            raise InputError(f"{name}: is a database of something else{_shown(there)}; give another name")
        return None
    if not 0 <= version <= VERSION:
        raise InputError(f"{name}: is a database of something else{_shown(there)}; give another name")
    return int(version)


def _shown(tables: set[str]) -> str:
    return f" (its tables: {', '.join(sorted(tables))[:200]})" if tables else ""


def _check_whole(connection: Connection, name: str) -> None:
    if connection.dialect.name == "sqlite":
        found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
        if found != "ok":
            reason = str(found).replace("\n", " ")[:200]
            raise InputError(
                f"{name}: not usable as the database of labels: it is damaged ({reason}); go on with a copy"
            )


def _check_tables(connection: Connection, name: str, wanted: dict[str, set[str]]) -> None:
    inspector = inspect(connection)
    there = set(inspector.get_table_names())
    for table, columns in wanted.items():
        found = {column["name"] for column in inspector.get_columns(table)} if table in there else set()
        if not columns <= found:
            lacking = f"the table {table}" if table not in there else f"{table}.{min(columns - found)}"
            raise InputError(
                f"{name}: is no database of this command, or is damaged: {lacking} is missing{_shown(there)}; "
                "give another name, or go on with a copy"
            )


def _set_version(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"PRAGMA user_version = {VERSION}")
        return
    _mark.create(connection, checkfirst=True)
    connection.execute(_mark.delete())
    connection.execute(_mark.insert().values(version=VERSION))


def _to_1(connection: Connection, name: str) -> None:
    """Annotators' secrets are kept as hashes: who reads the database cannot answer for somebody else."""
    _check_tables(connection, name, _FIRST)
    people = Base.metadata.tables[Annotator.__tablename__]
    for number, key in connection.execute(select(people.c.id, people.c.key)).all():
        connection.execute(update_rows(people).where(people.c.id == number).values(key=secret_hash(key)))


_STEPS: tuple[Callable[[Connection, str], None], ...] = (_to_1,)
