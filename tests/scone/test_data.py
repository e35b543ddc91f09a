"""Which files look like data, and where that leaves them."""

from __future__ import annotations

import pytest

from workflows.scone import catalogue, data, dockerfile, project

PYTHON = catalogue.default("python")
LONG = "[" + ",".join(["1"] * data.SMALL) + "]"


def app(root, **files):
    texts = {"main.py": "print(open('/app/weather.csv').read())\n", "requirements.txt": "", **files}
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_data_beside_the_code_is_not_drafted_in(tmp_path):
    found = project.look(app(tmp_path, **{"weather.csv": "a,1\n", "lib/util.py": "", "lib/model.PKL": "x"}))
    text = dockerfile.draft(found, PYTHON)
    assert found.data == ("weather.csv", "lib/model.PKL")
    assert "COPY main.py requirements.txt /app/" in text and "COPY lib/util.py /app/lib/" in text
    assert "weather" not in text and "model" not in text
    assert {(one.path, one.why) for one in found.left_out} == {
        ("weather.csv", "looks like data"), ("lib/model.PKL", "looks like data"),
    }  # fmt: skip


def test_a_copy_line_brings_it_in(tmp_path):
    found = project.look(app(tmp_path, **{"weather.csv": "a,1\n"}))
    assert "weather.csv" in found.present and "weather.csv" not in found.excludes
    edited = dockerfile.draft(found, PYTHON).replace("COPY main.py", "COPY weather.csv main.py")
    findings = dockerfile.check(edited, found.present)
    assert [one for one in findings if one.level != "info"] == []


def test_a_folder_that_is_named_brings_its_data(tmp_path):
    found = project.look(app(tmp_path, **{"weather.csv": "a,1\n", "model/big.npz": "x"}))
    wider = project.including(found, ["model", "."])
    assert wider.data == ("weather.csv",) and "model" in wider.folders
    text = dockerfile.draft(wider, PYTHON, regions={"model": "encrypted"})
    assert "COPY model /plain/app/model" in text


def test_a_dataset_is_no_data_of_the_image_any_more(tmp_path):
    found = project.without(project.look(app(tmp_path, **{"weather.csv": "a,1\n"})), ["weather.csv"])
    assert (found.data, found.excludes) == ((), ("weather.csv",))
    [left] = found.left_out
    assert left.dangerous and "task" in left.why


@pytest.mark.parametrize(
    ("name", "text", "is_data"),
    [
        ("a.csv", "", True), ("A.Parquet", "", True), ("x.sqlite", "", True), ("x.tar.gz", "", True),
        ("m.npz", "", True),
        ("a.json", "{}", False), ("a.json", LONG, True), ("a.jsonl", LONG, True), ("package-lock.json", LONG, False),
        ("words.json", LONG, False), ("settings.json", LONG, False), ("notes.txt", LONG, False), ("a.py", LONG, False),
    ],
)  # fmt: skip
def test_the_rule(tmp_path, name, text, is_data):
    root = app(
        tmp_path, **{name: text, "use.js": "require('./settings')", "load.py": 'open(HERE / "words.json")'}
    )
    assert (data.find(root, [name, "use.js", "load.py", "main.py"]) == [name]) == is_data


def test_links_that_lead_nowhere_are_no_obstacle(tmp_path):
    (app(tmp_path) / "a.json").symlink_to("gone")
    found = project.look(tmp_path)
    assert [left.path for left in found.left_out if "leads nowhere" in left.why] == ["a.json"]
