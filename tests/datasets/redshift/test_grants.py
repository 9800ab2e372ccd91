"""A table whose columns do not fit is made anew, and whoever could use it still can."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from airflow_sklearn.datasets.redshift.catalog import Target
from airflow_sklearn.datasets.redshift.database import Answer
from airflow_sklearn.datasets.redshift.grants import Grant, grant_statements, read_grants, read_protections
from airflow_sklearn.exceptions import PublishError, UserError
from tests.datasets.redshift.publishing import Place

OTHER = pa.table({"id": pa.array([1, 2], pa.int64()), "risk": pa.array([0.1, 0.2])})
GRANTS = (
    "SELECT privilege_type, identity_type, identity_name, admin_option FROM svv_relation_privileges "
    "WHERE namespace_name = '{name}' AND relation_name = 'scores' AND identity_name <> 'awsuser' ORDER BY 1, 2, 3, 4"
)


@pytest.fixture
def people(place: Place) -> Iterator[dict[str, str]]:
    """A user, a group and a role whose names need quotes."""
    end = uuid.uuid4().hex[:8]
    names = {kind: f'The "{kind}" {end}' for kind in ("user", "group", "role")}
    quoted = {kind: '"' + name.replace('"', '""') + '"' for kind, name in names.items()}
    place.sql(
        f"CREATE USER {quoted['user']} PASSWORD DISABLE",
        f"CREATE GROUP {quoted['group']}",
        f"CREATE ROLE {quoted['role']}",
    )
    yield quoted
    place.sql("DROP SCHEMA {s} CASCADE", "CREATE SCHEMA {s}")
    place.sql(f"DROP USER {quoted['user']}", f"DROP GROUP {quoted['group']}", f"DROP ROLE {quoted['role']}")


def test_grants_survive_a_table_that_is_made_anew(place: Place, people: dict[str, str]) -> None:
    place.publish(place.load(if_exists="replace"))
    place.sql(
        f'GRANT SELECT, INSERT ON {{s}}."scores" TO {people["user"]}',
        f'GRANT UPDATE ON {{s}}."scores" TO {people["user"]} WITH GRANT OPTION',
        f'GRANT SELECT ON {{s}}."scores" TO GROUP {people["group"]}',
        f'GRANT SELECT, DELETE ON {{s}}."scores" TO ROLE {people["role"]}',
        'GRANT SELECT ON {s}."scores" TO PUBLIC',
    )
    before = place.sql(GRANTS.replace("{name}", place.name))
    assert len(before) == 7
    place.publish(place.load(data=OTHER, if_exists="replace"))
    assert place.sql('SELECT id, risk FROM {s}."scores" ORDER BY 1') == [(1, 0.1), (2, 0.2)]
    assert place.sql(GRANTS.replace("{name}", place.name)) == before
    assert place.leftovers() == []


def test_a_table_that_is_made_anew_keeps_its_owner(place: Place, people: dict[str, str]) -> None:
    place.publish(place.load(if_exists="replace"))
    place.sql(
        f"GRANT USAGE, CREATE ON SCHEMA {{s}} TO {people['user']}",
        f'ALTER TABLE {{s}}."scores" OWNER TO {people["user"]}',
    )
    place.publish(place.load(data=OTHER, if_exists="replace"))
    [(owner,)] = place.sql(
        "SELECT pg_get_userbyid(c.relowner) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        f"WHERE n.nspname = '{place.name}' AND c.relname = 'scores'"
    )
    assert owner == people["user"][1:-1].replace('""', '"')


def test_a_table_that_views_depend_on_is_not_made_anew(place: Place) -> None:
    place.publish(place.load(if_exists="replace"))
    place.sql('CREATE VIEW {s}."My View" AS SELECT id FROM {s}."scores"')
    load = place.load(data=OTHER, if_exists="replace")
    assert any("My View" in fault and "NO SCHEMA BINDING" in fault for fault in place.faults(load))
    with pytest.raises(PublishError, match=r"My View\. Make them late-binding"):
        place.publish(load)
    assert place.ids() == [1, 2, 3]


@pytest.mark.parametrize(
    ("protect", "lost"),
    [
        ('GRANT SELECT (id) ON {s}."scores" TO {user}', "grants on single columns (id)"),
        ('CREATE POLICY "My Policy" ON {s}."scores" USING (id > 0)', "row-level security policies (My Policy)"),
    ],
)
def test_a_table_that_would_lose_its_protection_is_not_made_anew(
    place: Place, people: dict[str, str], protect: str, lost: str
) -> None:
    place.publish(place.load(if_exists="replace"))
    place.sql(protect.replace("{user}", people["user"]))
    load = place.load(data=OTHER, if_exists="replace")
    assert any(f"would lose its {lost}: change" in fault for fault in place.faults(load))
    with pytest.raises(PublishError, match="would have to be made anew, and would lose"):
        place.publish(load)
    assert place.ids() == [1, 2, 3]
    assert place.publish(place.load([4], if_exists="replace")).published, "where the columns fit, the table stays"


def test_a_masking_policy_is_looked_for(place: Place) -> None:
    place.publish(place.load(if_exists="replace"))
    with (
        place.cloud.redshift.fail("svv_attached_masking_policy", "permission denied", sqlstate="42501") as hidden,
    ):
        found = place.publish(place.load(data=OTHER, if_exists="replace"))
    assert hidden.fired == 1
    assert any("whether it has masking policies the database's user is not shown" in text for text in found.warnings)


def test_a_user_who_is_shown_only_a_part_of_the_policies_is_warned() -> None:
    class Plain:
        def run(self, statements: Any, *, step: str) -> list[Answer]:
            return [Answer(rows=((0,),)) if "usesuper" in statements[0].sql else Answer()]

    target = Target("s", "t", owner="bob", user="bob")
    faults, warnings = read_protections(Plain(), target, step="look")  # type: ignore[arg-type]
    assert faults == []
    assert "row-level security policies or masking policies or grants on single columns" in warnings[0]


def test_a_view_that_comes_in_the_meantime_leaves_all_as_it_was(place: Place) -> None:
    place.publish(place.load(if_exists="replace"))
    redshift = place.cloud.redshift
    load = place.load(data=OTHER, if_exists="replace")
    with (
        redshift.fail('^DROP TABLE .*"scores"', "cannot drop table scores because other objects depend on it"),
        pytest.raises(PublishError, match="other objects depend"),
    ):
        place.publish(load)
    assert place.ids() == [1, 2, 3]
    assert place.leftovers() == []


@pytest.mark.parametrize(
    "mode",
    [
        {"if_exists": "append"},
        {"if_exists": "truncate"},
        {"if_exists": "upsert"},
        {"if_exists": "replace", "where": "id > 0"},
    ],
)
def test_only_a_table_all_of_whose_rows_go_is_made_anew(place: Place, mode: dict[str, Any]) -> None:
    place.publish(place.load())
    load = place.load(data=OTHER, run="another", **mode)
    assert any("has no column 'risk'" in fault for fault in place.faults(load))
    with pytest.raises(PublishError, match="has no column 'risk'"):
        place.publish(load)
    assert place.ids() == [1, 2, 3]


def test_a_table_made_anew_is_not_undone_by_a_publication_that_slept(place: Place) -> None:
    from tests.datasets.redshift.test_publish_failures import paused_before_swap

    place.publish(place.load(if_exists="replace"))
    sleeper, fault = paused_before_swap(place, place.load(data=OTHER, if_exists="replace"))
    with fault:
        place.publish(place.load([9], if_exists="replace"))
    with pytest.raises(PublishError, match="another run published there"):
        sleeper.result()
    assert place.ids() == [9]


@pytest.mark.parametrize("entry", ["ann=r/bob", 'group "The ""Best"" Team"=arw*/bob', '"Ann B"=r/bob'])
def test_grants_that_the_user_is_not_shown_stop_what_would_lose_them(entry: str) -> None:
    class Hiding:
        def run(self, statements: Any, *, step: str) -> list[Answer]:
            return [Answer(), Answer(rows=((f"bob=arwdRxt/bob\n{entry}\n=r/bob",),))]

    target = Target("s", "t", owner="bob", user="carl")
    with pytest.raises(UserError, match=r"carl is not shown the grants of (ann|The \"Best\" Team|Ann B), which"):
        read_grants(Hiding(), target, step="look")  # type: ignore[arg-type]


def test_a_grant_that_is_not_known_stops_what_would_lose_it() -> None:
    with pytest.raises(UserError, match="RULE of user ann"):
        grant_statements([Grant("RULE", "user", "ann")], ("s", "t"), owner="bob")


def test_grants_are_written_for_all_who_have_the_same_at_once() -> None:
    grants = [Grant("SELECT", "user", "ann"), Grant("SELECT", "group", 'g"; DROP'), Grant("SELECT", "user", "bob")]
    assert [statement.sql for statement in grant_statements(grants, ("s", "t"), owner="bob")] == [
        'GRANT SELECT ON TABLE "s"."t" TO "ann", GROUP "g""; DROP"'
    ]
