"""Arguments from a file of settings and from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_sklearn.cli.options import arguments, mapping, value_of
from airflow_sklearn.exceptions import UserError

GIVEN = {"model": None, "target": None, "primary_key": None, "cross_validation": None, "source": None}


def read(path: Path, **given: object) -> dict[str, object]:
    return arguments(path, {**GIVEN, **given}, ["model"], "train")


def test_options_of_the_command_line_take_precedence_over_the_file(tmp_path: Path) -> None:
    yaml, json = tmp_path / "train.yaml", tmp_path / "train.json"
    yaml.write_text("model: models/churn\ntarget: churned\nprimary_key: [id, day]\ncross_validation: 2\n")
    json.write_text('{"model": "models/churn", "target": "churned", "primary_key": ["id", "day"]}')
    assert read(yaml, target="left", source=[])["target"] == "left"
    assert read(json) == {name: value for name, value in read(yaml).items() if name != "cross_validation"}
    assert read(yaml)["cross_validation"] == 2


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.yaml", "model: [", "are no YAML"),
        ("a.json", "model: m", "are no JSON"),
        ("a.yaml", "- model", "are no mapping"),
        ("a.yaml", "model: m\ntargett: x", "There is no argument 'targett'. Did you mean 'target'"),
        ("a.yaml", "target: x", "train: model: not given. Fix: say --model"),
    ],
)
def test_a_file_that_does_not_say_what_is_needed_is_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message):
        read(tmp_path / name)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.yaml cannot be read"):
        read(tmp_path / "gone.yaml")


def test_values_of_options_are_read_as_json_where_they_are() -> None:
    assert mapping("params", ["C=0.5", "penalty=l2", "layers=[3, 4]", "warm=true"]) == {
        "C": 0.5,
        "penalty": "l2",
        "layers": [3, 4],
        "warm": True,
    }
    assert (mapping("params", []), value_of(None), value_of("f1"), value_of("0.3")) == (None, None, "f1", 0.3)
    with pytest.raises(UserError, match=r"--fit-params 'w' is no NAME=VALUE"):
        mapping("fit_params", ["w"])
