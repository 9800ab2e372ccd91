"""Redshift's SQL as PostgreSQL takes it: only what the project and its tests use, and what users write around it."""

from __future__ import annotations

from dataclasses import dataclass

from local_cloud.redshift import tables
from local_cloud.redshift.errors import RedshiftError
from local_cloud.redshift.lexer import Token, joined, quoted, separated, tokens, words

#: Settings that PostgreSQL does not know; it keeps them under this name, and takes them back at a rollback.
SETTINGS = "redshift"
_OWN_SETTINGS = (
    "QUERY_GROUP",
    "ENABLE_CASE_SENSITIVE_IDENTIFIER",
    "ENABLE_RESULT_CACHE_FOR_SESSION",
    "WLM_QUERY_SLOT_COUNT",
    "DESCRIBE_FIELD_NAME_IN_UPPERCASE",
    "ANALYZE_THRESHOLD_PERCENT",
)
#: PostgreSQL cuts longer ones, without a word; Redshift takes 127.
_NAME_BYTES = 63
#: Statements that the stand-in does itself, by their first word.
_SPECIAL = {"UNLOAD": "UNLOAD", "COPY": "COPY", "TRUNCATE": "TRUNCATE TABLE"}
#: The stand-in does the work; PostgreSQL gets this, which reads no table and fails where nothing may run.
_NOTHING = "SET redshift.statement TO done"


@dataclass(frozen=True)
class Translation:
    """A statement of Redshift's.

    :param sql: for PostgreSQL.
    :param original: the statement as tokens, names folded.
    :param special: what the stand-in does itself, as the name of the command.
    :param setting: a setting that it gives the session, and the value; None for its default.
    :param follow_up: for PostgreSQL, after it.
    """

    sql: str
    original: tuple[Token, ...]
    special: str = ""
    setting: tuple[str, str | None] | None = None
    follow_up: str = ""


def translate(sql: str, *, case_sensitive: bool) -> Translation:
    """One statement for PostgreSQL.

    :param case_sensitive: whether names in double quotes keep their capitals.
    """
    parts = folded(tokens(sql), case_sensitive)
    if parts and parts[-1].text == ";":
        parts.pop()
    if not parts:
        return Translation("", ())
    original, first = tuple(parts), parts[0]
    if special := _special(parts):
        return Translation(_NOTHING, original, special=special)
    if first.is_word("SET", "RESET", "SHOW"):
        return _setting(parts)
    if tables.is_create_table(parts):
        created, follow_up = tables.create_table(parts)
        return Translation(joined(expressions(created)), original, follow_up=follow_up)
    if first.is_word("ALTER") and parts[1].is_word("TABLE"):
        return Translation(joined(expressions(tables.alter_table(parts))), original)
    if first.is_word("BEGIN", "START"):
        return Translation(joined(_begin(parts)), original)
    if first.is_word("GRANT", "REVOKE") or (first.is_word("ALTER") and parts[1].is_word("DEFAULT")):
        return Translation(joined(_grant(parts)), original)
    if first.is_word("CREATE", "DROP", "ALTER") and len(parts) > 2 and parts[1].is_word("USER", "GROUP", "ROLE"):
        return Translation(_account(parts), original)
    return Translation(joined(expressions(parts)), original)


def folded(parts: list[Token], case_sensitive: bool) -> list[Token]:
    """Names as the session reads them; a name that begins with ``#`` is a temporary table's."""
    found = []
    for part in parts:
        if part.kind == "quoted" and not case_sensitive:
            part = Token("quoted", part.text.lower())
        elif part.kind == "word" and part.text.startswith("#"):
            part = quoted(part.text.lower())
        if part.is_name and len(part.name.encode()) > _NAME_BYTES:
            raise RedshiftError(f"the stand-in takes names of at most {_NAME_BYTES} bytes: {part.name}", "42622")
        found.append(part)
    return found


def expressions(parts: list[Token]) -> list[Token]:
    """Functions and types in a query."""
    found: list[Token] = []
    in_cast: list[bool] = []
    position = 0
    while position < len(parts):
        part, following = parts[position], parts[position + 1].text if position + 1 < len(parts) else ""
        previous = parts[position - 1] if position else Token("symbol", "")
        if part.text == "(":
            in_cast.append(previous.is_word("CAST"))
        elif part.text == ")" and in_cast:
            in_cast.pop()
        if previous.text == "::" or (previous.is_word("AS") and in_cast and in_cast[-1]):
            translated, used = tables.data_type(parts[position:])
            found += translated
            position += used
            continue
        if previous.text == "(" and position > 1 and parts[position - 2].is_word("DATEADD", "DATEDIFF", "DATE_DIFF"):
            part = Token("string", f"'{part.text.strip(chr(39)).lower()}'")
        elif part.is_word("NVL") and following == "(":
            part = Token("word", "COALESCE")
        elif part.is_word("SYSDATE") and following != "(":
            found += words("sysdate()")
            position += 1
            continue
        found.append(part)
        position += 1
    return found


def _begin(parts: list[Token]) -> list[Token]:
    """Every transaction is serializable, whatever level it asks for."""
    levels = ("ISOLATION", "LEVEL", "READ", "UNCOMMITTED", "COMMITTED", "REPEATABLE", "SERIALIZABLE", "SNAPSHOT")
    read_only = any(part.is_word("ONLY") for part in parts)
    return words("BEGIN READ ONLY") if read_only else [part for part in parts if not part.is_word(*levels, "WRITE")]


def _special(parts: list[Token]) -> str:
    if parts[0].is_word("COPY") and any(part.is_word("STDIN", "STDOUT") for part in parts):
        return ""  # PostgreSQL's own, for psql
    return _SPECIAL.get(parts[0].text.upper(), "") if parts[0].kind == "word" else ""


def _setting(parts: list[Token]) -> Translation:
    at = 2 if parts[1].is_word("SESSION", "LOCAL") else 1
    if len(parts) <= at or not parts[at].is_word(*_OWN_SETTINGS):
        return Translation(joined(parts), tuple(parts))
    name = parts[at].text.lower()
    translated = [*parts[:at], *words(f"{SETTINGS}.{name}"), *parts[at + 1 :]]
    if parts[0].is_word("SHOW"):
        return Translation(joined(translated), tuple(parts))
    values = parts[at + 2 :]
    value = None if parts[0].is_word("RESET") or not values or values[0].is_word("DEFAULT") else _text(values[0])
    return Translation(joined(translated), tuple(parts), setting=(name, value))


def _text(part: Token) -> str:
    return part.value if part.kind in ("string", "dollar") else part.name


def _grant(parts: list[Token]) -> list[Token]:
    """Groups and roles have names of their own in Redshift; in PostgreSQL they are roles with a prefix."""
    found: list[Token] = []
    position = 0
    while position < len(parts):
        part = parts[position]
        grantee = position + 1 < len(parts) and parts[position + 1].is_name and position > 0
        if grantee and part.is_word("GROUP", "ROLE"):
            found.append(role_of(part.text, parts[position + 1]))
            position += 2
            continue
        if grantee and part.is_word("USER") and parts[position - 1].is_word("TO", "FROM"):
            position += 1
            continue
        found.append(part)
        position += 1
    return found


def role_of(kind: str, name: Token) -> Token:
    """The PostgreSQL role of a group or a role."""
    return quoted(f"{kind.lower()}:{name.name}")


def _account(parts: list[Token]) -> str:
    verb, kind, name, rest = parts[0].text.upper(), parts[1].text.upper(), parts[2], parts[3:]
    if kind == "USER":
        return _user(verb, name, rest)
    role = role_of(kind, name).text
    members = ", ".join(member[-1].text for member in separated(rest) if member)
    if verb == "ALTER" and rest and rest[0].is_word("ADD"):
        return f"GRANT {role} TO {members}"
    if verb == "ALTER" and rest and rest[0].is_word("DROP"):
        return f"REVOKE {role} FROM {members}"
    return f"{verb} ROLE {role}" + (f" ROLE {members}" if verb == "CREATE" and members and kind == "GROUP" else "")


def _user(verb: str, name: Token, rest: list[Token]) -> str:
    options = []
    for part in rest:
        if part.is_word("CREATEUSER", "NOCREATEUSER"):
            part = Token("word", part.text.upper().replace("CREATEUSER", "SUPERUSER"))
        elif part.is_word("DISABLE"):
            part = Token("word", "NULL")
        options.append(part)
    role = "ROLE" if verb != "ALTER" else "USER"
    login = " LOGIN" if verb == "CREATE" else ""
    return f"{verb} {role} {name.text}{login} {joined(options)}"
