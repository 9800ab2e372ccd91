"""The privileges on a table, and transferring them to the table that replaces it."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_sklearn.datasets.redshift import publication_log
from airflow_sklearn.datasets.redshift.catalog import statement
from airflow_sklearn.datasets.redshift.database import Statement
from airflow_sklearn.datasets.redshift.sql import identifier, qualified
from airflow_sklearn.exceptions import RedshiftError, UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_sklearn.datasets.redshift.catalog import Target
    from airflow_sklearn.datasets.redshift.database import Database
    from airflow_sklearn.datasets.redshift.target_table import TargetTable

log = logging.getLogger(__name__)

_GRANTS = """
SELECT CAST(privilege_type AS VARCHAR(64)), CAST(identity_type AS VARCHAR(64)), CAST(identity_name AS VARCHAR(512)),
  CASE WHEN admin_option THEN 1 ELSE 0 END
FROM svv_relation_privileges
WHERE namespace_name = CAST(:publish_schema AS VARCHAR(128)) AND relation_name = CAST(:publish_table AS VARCHAR(128))
ORDER BY 2, 3, 1, 4
"""
#: A catalog table that every user may read. It lacks the privileges of roles.
_ACCESS_LIST = """
SELECT ARRAY_TO_STRING(c.relacl, CHR(10))
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = CAST(:publish_schema AS VARCHAR(128)) AND c.relname = CAST(:publish_table AS VARCHAR(128))
"""
#: An entry of it: ``ann=arw/bob``, ``group "The Group"=r/bob``, ``=r/bob`` for everybody.
_ACCESS = re.compile(r'(group |role )?(?P<quote>"?)(?P<name>.*?)(?P=quote)=[a-zA-Z*]*/.*', re.DOTALL)
#: The names of privileges in SVV_RELATION_PRIVILEGES. Others are never written into a statement.
_PRIVILEGES = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "REFERENCES", "DROP", "TRUNCATE", "ALTER"})
#: What a new table would be without, and nobody would notice: each view has the names to show. Redshift detaches the
#: policies of a table that is dropped.
_PROTECTIONS = {
    "row-level security policies": """
SELECT DISTINCT CAST(polname AS VARCHAR(128)) FROM svv_rls_attached_policy
WHERE relschema = CAST(:publish_schema AS VARCHAR(128)) AND relname = CAST(:publish_table AS VARCHAR(128)) ORDER BY 1
""",
    "masking policies": """
SELECT DISTINCT CAST(policy_name AS VARCHAR(128)) FROM svv_attached_masking_policy
WHERE schema_name = CAST(:publish_schema AS VARCHAR(128)) AND table_name = CAST(:publish_table AS VARCHAR(128))
ORDER BY 1
""",
    "grants on single columns": """
SELECT DISTINCT CAST(column_name AS VARCHAR(128)) FROM svv_column_privileges
WHERE namespace_name = CAST(:publish_schema AS VARCHAR(128))
  AND relation_name = CAST(:publish_table AS VARCHAR(128)) ORDER BY 1
""",
}
#: The function takes names as they are written in SQL.
_RIGHTS = """
SELECT CAST(c.relname AS VARCHAR(128)), {rights}
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = CAST(:publish_schema AS VARCHAR(128)) AND c.relkind = 'r'
  AND c.relname IN (CAST(:publish_table AS VARCHAR(128)), CAST(:publish_books AS VARCHAR(128)))
""".format(
    rights=", ".join(
        "CASE WHEN HAS_TABLE_PRIVILEGE(QUOTE_IDENT(CAST(n.nspname AS VARCHAR(128))) || '.' || "
        f"QUOTE_IDENT(CAST(c.relname AS VARCHAR(128))), '{right}') THEN 1 ELSE 0 END"
        for right in ("select", "insert", "update", "delete")
    )
)
_IS_SUPERUSER = "SELECT CASE WHEN usesuper THEN 1 ELSE 0 END FROM pg_user WHERE usename = CURRENT_USER"
_GRANTEES = {"user": "", "group": "GROUP ", "role": "ROLE "}


@dataclass(frozen=True)
class Grant:
    """One privilege of one grantee.

    :param grantee_type: ``user``, ``group``, ``role`` or ``public``.
    :param may_grant: whether the grantee may pass it on.
    """

    privilege: str
    grantee_type: str
    grantee: str
    may_grant: bool = False


def read_grants(database: Database, target: Target, *, step: str) -> list[Grant]:
    """The grants on a table.

    :param step: see ``Database.run``.
    :raises UserError: the database's user cannot see all of them, so that a new table would lack some.
    """
    values = {"publish_schema": target.schema, "publish_table": target.table}
    shown, lists = database.run([statement(_GRANTS, values), statement(_ACCESS_LIST, values)], step=step)
    grants = [
        Grant(privilege.strip().upper(), kind.strip().lower(), grantee or "", bool(int(may_grant)))
        for privilege, kind, grantee, may_grant in shown.rows
    ]
    known = {grant.grantee for grant in grants} | {target.owner}
    listed = [name for row in lists.rows for name in _grantees_of(row[0] or "")]
    # A kind may come ahead of a name.
    endings = tuple(f"{sign}{name}" for name in known for sign in " :")
    if hidden := sorted(name for name in set(listed) - known if not name.endswith(endings)):
        raise UserError(
            f"{target.name} must be made anew, and the database's user {target.user} is not shown the grants of "
            f"{', '.join(hidden)}, which would be lost. GRANT ACCESS SYSTEM TABLE to a role of that user, or change "
            "the table's columns yourself (ALTER TABLE)."
        )
    return grants


def read_protections(database: Database, target: Target, *, step: str) -> tuple[list[str], list[str]]:
    """Protections that would be lost if the table were made again: policies, and grants on columns.

    :param step: see ``Database.run``.
    :return: faults, and warnings about protections that the database's user cannot see.
    """
    values, found, hidden = {"publish_schema": target.schema, "publish_table": target.table}, [], []
    for what, sql in _PROTECTIONS.items():
        try:
            rows = database.run([statement(sql, values)], step=f"{step}: {what}")[0].rows
        except RedshiftError as error:
            log.info("The %s of %s cannot be read: %s", what, target.name, error)
            hidden.append(what)
            continue
        if rows:
            found.append(f"{what} ({', '.join(str(name) for (name,) in rows)})")
    if not found and not hidden and not is_superuser(database, step=f"{step}: superuser"):
        hidden = list(_PROTECTIONS)  # to others the views show a part, or nothing
    faults = [
        f"{target.name} would have to be made anew, and would lose its {'; its '.join(found)}: change the table's "
        "columns yourself (ALTER TABLE), or detach and revoke them, and attach and grant them again afterwards"
    ]
    warnings = [
        f"{target.name} is made anew, and whether it has {' or '.join(hidden)} the database's user is not shown: a new "
        "table is without them. Look it up as a superuser (SVV_RLS_ATTACHED_POLICY, SVV_ATTACHED_MASKING_POLICY, "
        "SVV_COLUMN_PRIVILEGES)"
    ]
    return faults if found else [], warnings if hidden else []


def rights_faults(database: Database, destination: TargetTable, *, step: str) -> list[str]:
    """Missing privileges of the database's user on the existing tables, as far as the database tells."""
    target, mode = destination.target, destination.output.if_exists
    if not target.has_schema or target.no_table:
        return []
    values = {"publish_schema": target.schema, "publish_table": target.table, "publish_books": publication_log.TABLE}
    try:
        rows = database.run([statement(_RIGHTS, values)], step=step)[0].rows
    except RedshiftError as error:
        log.info("The rights on %s cannot be read: %s", target.name, error)
        return []
    rights = ("SELECT", "INSERT", "UPDATE", "DELETE")
    held = {name: {right for right, has in zip(rights, has_it, strict=True) if int(has)} for name, *has_it in rows}
    needed: dict[str, tuple[str, ...]] = {publication_log.TABLE: rights}
    if mode != "fail" and not destination.is_made_anew():
        needed[target.table] = ("SELECT", "INSERT") if mode == "append" else ("SELECT", "INSERT", "DELETE")
    faults = []
    for table, wanted in needed.items():
        if missing := [right for right in wanted if table in held and right not in held[table]]:
            listed, name = ", ".join(missing), f"{target.schema}.{table}"
            faults.append(
                f"the database's user {_shown(target.user)}has no {listed} on {name}: GRANT {listed} ON "
                f"{qualified((target.schema, table))} TO that user"
            )
    if destination.is_made_anew() and target.owner != target.user and not is_superuser(database, step=f"{step}: owner"):
        faults.append(
            f"{target.name} would have to be made anew, and belongs to {target.owner}: its owner or a superuser can do "
            "so. Change its columns yourself (ALTER TABLE)"
        )
    return faults


def _shown(user: str) -> str:
    return f"{user} " if user else ""


def is_superuser(database: Database, *, step: str) -> bool:
    """Whether the database's user is a superuser, as far as that can be found out."""
    try:
        rows = database.run([Statement(_IS_SUPERUSER)], step=step)[0].rows
    except RedshiftError:
        return False
    return bool(rows) and bool(int(rows[0][0]))


def grant_statements(grants: Sequence[Grant], table: Sequence[str], *, owner: str) -> list[Statement]:
    """A GRANT statement for each grantee except the owner, who has all privileges.

    :param owner: the table's owner.
    :raises UserError: a privilege or a kind of grantee is unknown: the new table must not lack privileges.
    """
    unknown = sorted(
        {
            f"{grant.privilege} of {grant.grantee_type} {grant.grantee}"
            for grant in grants
            if grant.privilege not in _PRIVILEGES or grant.grantee_type not in (*_GRANTEES, "public")
        }
    )
    if unknown:
        raise UserError(
            f"{'.'.join(table)} must be made anew, and has grants that cannot be carried over: {', '.join(unknown)}. "
            "Revoke them, or change the table's columns yourself (ALTER TABLE)."
        )
    privileges: dict[tuple[str, bool], list[str]] = {}
    for grant in grants:
        if (grant.grantee_type, grant.grantee) != ("user", owner):
            privileges.setdefault((_grantee(grant), grant.may_grant), []).append(grant.privilege)
    # One statement for all who have the same rights: a transaction holds few statements in the Data API.
    alike: dict[tuple[str, str], list[str]] = {}
    for (grantee, may_grant), granted in privileges.items():
        option = f" TO {grantee} WITH GRANT OPTION" if may_grant else ""
        alike.setdefault((", ".join(dict.fromkeys(granted)), option), []).append(grantee)
    return [
        Statement(f"GRANT {granted} ON TABLE {qualified(table)}{option or ' TO ' + ', '.join(grantees)}")
        for (granted, option), grantees in alike.items()
    ]


def owner_statements(table: Sequence[str], *, owner: str, user: str) -> list[Statement]:
    """Statements that give a new table to the old one's owner. Only a superuser may do so for another user.

    :param owner: the old table's owner.
    :param user: the database's user.
    """
    return [] if owner == user else [Statement(f"ALTER TABLE {qualified(table)} OWNER TO {identifier(owner)}")]


def _grantee(grant: Grant) -> str:
    if grant.grantee_type == "public":
        return "PUBLIC"
    return _GRANTEES[grant.grantee_type] + identifier(grant.grantee)


def _grantees_of(access_list: str) -> list[str]:
    found = (_ACCESS.fullmatch(line) for line in access_list.splitlines())
    return [match["name"].replace('""', '"') for match in found if match and match["name"]]
