from __future__ import annotations

from local_cloud.container_cloud import ContainerCloud
from local_cloud.postgres import Postgres


def test_a_row_goes_in_and_comes_out(container_cloud: ContainerCloud) -> None:
    database = container_cloud.postgres
    database.query("create table t (id int, name text); insert into t values (1, 'one'), (2, null)")
    assert database.query("select * from t order by id") == [["1", "one"], ["2", ""]]


def test_it_listens_on_the_loopback_interface_too(container_cloud: ContainerCloud) -> None:
    database = container_cloud.postgres
    assert Postgres("127.0.0.1", database.port).query("select current_user") == [["postgres"]]
