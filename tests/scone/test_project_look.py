"""A look at a folder: language, entry, dependencies, what stays out; hostile names and links are safe."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workflows.core.failure import Missing
from workflows.core.text import clean
from workflows.scone import project, unwanted
from workflows.scone.project import look


def make(root: Path, *paths: str, **contents: str) -> Path:
    """Files in a folder: names without content, and `name=content` with __ for a dot and ___ for a slash."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    for name, content in contents.items():
        path = root / name.replace("___", "/").replace("__", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def test_a_python_app(tmp_path):
    found = look(make(tmp_path, "app.py", "lib/util.py", "README.md", requirements__txt="idna==3.7\n"))
    assert (found.language, found.entries[0]) == ("python", "app.py")
    assert found.dependencies == ("requirements.txt",)
    assert found.files == ("README.md", "app.py", "requirements.txt", "lib/util.py")
    assert found.folders == ("lib",)
    assert found.size == 10
    assert "2 Python files" in found.why
    assert found.left_out == found.notes == ()


def test_a_node_app(tmp_path):
    package = {"main": "./lib/start.js", "dependencies": {"text-table": "0.2.0"}}
    lock = {"lockfileVersion": 3}
    found = look(
        make(
            tmp_path, "index.js", "lib/start.js", "node_modules/text-table/index.js",
            package__json=json.dumps(package), **{"package-lock__json": json.dumps(lock)},
        )
    )  # fmt: skip
    assert found.language == "node"
    assert found.entries[:2] == ("lib/start.js", "index.js")
    assert found.dependencies == ("package.json", "package-lock.json")
    assert [item.path for item in found.left_out] == ["node_modules"]
    assert "version 3" in found.notes[0]


@pytest.mark.parametrize(
    ("paths", "language", "first"),
    [
        (["src/main.py", "src/util.py", "tests/test_main.py"], "python", "src/main.py"),
        (["tool.py", "app.js"], "node", "app.js"),
        (["deep/er/app.py", "other.py"], "python", "deep/er/app.py"),
        (["server.mjs"], "node", "server.mjs"),
        (["conftest.py", "setup.py", "start.py"], "python", "start.py"),
    ],
)
def test_entries(tmp_path, paths, language, first):
    found = look(make(tmp_path, *paths))
    assert (found.language, found.entries[0]) == (language, first)


def test_a_dot_folder_is_not_searched_for_an_entry(tmp_path):
    make(
        tmp_path,
        ".local/share/demo/app.py",
        ".cache/app.py",
        ".venv/app.py",
        "node_modules/app.js",
        ".hidden/app.py",
    )
    found = look(make(tmp_path, "deep/er/app.py"))
    assert (found.entries, found.files) == (("deep/er/app.py",), (".hidden/app.py", "deep/er/app.py"))
    make(tmp_path, ".output/server/index.mjs", package__json='{"main": ".output/server/index.mjs"}')
    assert look(tmp_path).entries[0] == ".output/server/index.mjs", "unless package.json names it"


def test_a_main_is_preferred(tmp_path):
    found = look(make(tmp_path, "aaa.py", zzz__py='import os\nif __name__ == "__main__":\n    pass\n'))
    assert found.entries == ("zzz.py", "aaa.py")


@pytest.mark.parametrize(
    ("paths", "said"), [(["main.go"], "no Python"), (["a/b/c/x.py"], "no file looks like")]
)
def test_an_unknown_language_is_explained(tmp_path, paths, said):
    found = look(make(tmp_path, *paths))
    assert found.language is None
    assert found.entries == ()
    assert said in found.why


def test_nothing_is_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "no"):
        with pytest.raises(Missing) as caught:
            look(folder)
        assert caught.value.hint


def test_requirements_are_followed_within_the_project(tmp_path):
    found = look(
        make(
            tmp_path, "app.py",
            requirements__txt="-r more/base.txt\n--requirement=missing.txt\n-c ../outside.txt\n-e .\n",
            more___base__txt="-r ../requirements.txt\nidna\n",
        )
    )  # fmt: skip
    assert found.dependencies == ("requirements.txt", "more/base.txt")
    assert len(found.notes) == 3
    assert any("missing.txt" in note for note in found.notes)
    assert any("outside.txt" in note for note in found.notes)
    assert any("installs from a path" in note for note in found.notes)


def test_dependencies_of_pyproject(tmp_path):
    text = '[project]\nname = "x"\ndependencies = ["idna>=3", "-e evil", "a\\nRUN x", 5]\n'
    found = look(make(tmp_path, "app.py", pyproject__toml=text))
    assert found.requirements == ("idna>=3",)
    assert "cannot be written down" in found.notes[0]


@pytest.mark.parametrize("text", ["[[[", "project = 3", "[project]\ndependencies = 7", "\x00"])
def test_a_broken_pyproject_is_no_obstacle(tmp_path, text):
    assert look(make(tmp_path, "app.py", pyproject__toml=text)).requirements == ()


@pytest.mark.parametrize("text", ["", "[1]", '{"main": 3, "scripts": [], "dependencies": []}', "[" * 5000])
def test_a_broken_package_json_is_no_obstacle(tmp_path, text):
    found = look(make(tmp_path, "app.js", package__json=text))
    assert (found.language, found.dependencies) == ("node", ())


def test_what_stays_out(tmp_path):
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n"
    found = look(
        make(
            tmp_path, "app.py", ".env", "config/.env.production", "config/id_ed25519", "wallet.json",
            ".secrets/datasets/a.key", ".git/config", ".creamtea/journal", "__pycache__/app.pyc", "myenv/pyvenv.cfg",
            "dataset/data.csv", "tee/protect-fs.sh", "cert.pem", innocent__txt=key,
        )
    )  # fmt: skip
    assert found.files == ("app.py", "cert.pem")
    dangerous = {item.path for item in found.left_out if item.dangerous}
    assert dangerous == {
        ".env", "config/.env.production", "config/id_ed25519", "wallet.json", ".secrets", "innocent.txt",
    }  # fmt: skip
    assert {item.path for item in found.left_out} - dangerous == {
        ".git", ".creamtea", "__pycache__", "myenv", "dataset", "tee/protect-fs.sh",
    }  # fmt: skip
    assert set(found.excludes) == {item.path for item in found.left_out}


def test_a_folder_called_dataset_with_code_is_code(tmp_path):
    assert "datasets/load.py" in look(make(tmp_path, "app.py", "datasets/load.py")).files


def test_dockerfiles_are_found(tmp_path):
    found = look(
        make(tmp_path, "app.py", "Dockerfile", "tee/Dockerfile", "sgx/Dockerfile.sgx", "x.dockerfile")
    )
    assert found.dockerfiles == ("Dockerfile", "x.dockerfile", "sgx/Dockerfile.sgx", "tee/Dockerfile")
    assert found.files == ("app.py",)


HOSTILE = [
    "a\nRUN rm -rf x", "b\x1b[2Jc.py", "d$HOME.py", 'e"f.py', "g'h.py", "i\\j.py", "k*.py", "l?.py", "m[1].py",
    "n\u202egp.py", " o.py", "p.py ", "q`id`.py", "Dockerfile.\x1b[0m",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_out_and_are_shown_clean(tmp_path, name):
    found = look(make(tmp_path, "app.py", name))
    assert found.files == ("app.py",)
    assert found.dockerfiles == ()
    assert name in found.excludes
    assert all(item.path == clean(item.path) for item in found.left_out)


@pytest.mark.parametrize("name", ["my app.py", "été.py", "-rf.py", "#x.py", "a;b.py", "--from=x.py"])
def test_unusual_names_that_can_be_written_go_in(tmp_path, name):
    assert name in look(make(tmp_path, "app.py", name)).files


def test_names_that_are_no_text_stay_out(tmp_path):
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.py")).touch()
    found = look(make(tmp_path, "app.py"))
    assert found.files == ("app.py",)
    assert found.left_out[0].path.encode()


def test_links_and_other_things(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.py").write_text("x")
    root = make(tmp_path / "p", "app.py", "lib/a.py")
    (root / "inner.py").symlink_to("app.py")
    (root / "folder").symlink_to("lib")
    (root / "out.py").symlink_to(outside / "secret.py")
    (root / "outdir").symlink_to(outside)
    (root / "loop").symlink_to("loop")
    os.mkfifo(root / "pipe.py")
    (root / "main.py").symlink_to("pipe.py")  # reading it would block
    found = look(root)
    assert set(found.files) == {"app.py", "lib/a.py", "inner.py", "folder", "main.py"}
    assert {item.path for item in found.left_out} == {"out.py", "outdir", "loop", "pipe.py"}


def test_a_deep_folder(tmp_path):
    place = tmp_path
    for _ in range(300):
        place = place / "d"
        place.mkdir()
    (place / "x.py").touch()
    assert len(look(make(tmp_path, "app.py")).files) == 2


def test_many_files_are_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(project, "MOST_FILES", 3)
    found = look(make(tmp_path, "app.py", *(f"f{number}.txt" for number in range(9))))
    assert len(found.files) == 3
    assert "not looked at" in found.notes[0]


def test_too_much_for_an_app_is_refused(tmp_path, monkeypatch):
    from workflows.containers import ignore

    monkeypatch.setattr(ignore, "MOST_ENTRIES", 10)
    root = make(tmp_path, "app.py", *(f"many/{number}.pyc" for number in range(10)))
    with pytest.raises(Missing) as caught:
        look(root)
    assert caught.value.name == "too_many_files"
    (root / ".dockerignore").write_text("many\n")
    assert look(root).files == ("app.py",)


def test_nothing_is_executed(tmp_path):
    trap = f"raise SystemExit(open({str(tmp_path / 'touched')!r}, 'w'))"
    look(make(tmp_path, app__py=trap, setup__py=trap, sitecustomize__py=trap))
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    ("name", "slug"), [("Hello SGX!", "hello-sgx"), ("été", "t"), ("___", "app"), ("a" * 99, "a" * 60)]
)
def test_a_name_that_fits_an_image(tmp_path, name, slug):
    assert look(make(tmp_path / name, "app.py")).name == slug


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(names=st.lists(st.text(min_size=1, max_size=20), max_size=6))
def test_any_names(tmp_path_factory, names):
    root = make(tmp_path_factory.mktemp("any"), "app.py")
    for name in names:
        try:
            (root / name).touch()
        except (OSError, ValueError):
            continue
    found = look(root)
    assert "app.py" in found.files
    for path in found.files:
        assert path == clean(path)
        assert "\n" not in path


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("app.py", None), ("a/b.txt", None), ("cert.pem", None), ("package.json", None), ("key.py", None),
        (".env", "secret"), ("x/.ENV.local", "secret"), ("server.key", "secret"), (".env.example", "build"),
        ("keystore/UTC--2020-01-01T00-00-00Z--19e7", "wallet"), ("Dockerfile", "build"), (".git/HEAD", "state"),
        ("a/__pycache__/b.pyc", "cache"),
    ],
)  # fmt: skip
def test_kinds_of_unwanted(path, kind):
    assert unwanted.kind(path) == kind


def test_a_dockerignore_is_obeyed(tmp_path):
    make(tmp_path, "app.py", "z.log", "data/a.txt", "data/b.txt", "docs/deep/x.md", "lib/u.py")
    (tmp_path / ".dockerignore").write_text("\ufeff# words\n*.log\ndata/*\n!data/b.txt\ndocs\n\n")
    found = look(tmp_path)
    assert found.files == ("app.py", "data/b.txt", "lib/u.py")
    assert {one.path for one in found.left_out if "dockerignore" in one.why} == {
        "z.log", "data/a.txt", "docs",
    }  # fmt: skip


def test_a_dockerignore_that_hides_everything_is_named(tmp_path):
    make(tmp_path, "app.py", __dockerignore="*\n")
    with pytest.raises(Missing, match=r"app\.py is named in \.dockerignore"):
        look(tmp_path)


def test_a_line_of_dockerignore_that_is_no_pattern_is_named(tmp_path):
    make(tmp_path, "app.py", __dockerignore="*.log\n[z-a]\n")
    with pytest.raises(Missing, match=r"\.dockerignore has a line that is no pattern: \[z-a\]"):
        look(tmp_path)


def test_a_link_to_a_folder_that_it_lies_in_stays_out(tmp_path):
    root = make(tmp_path, "app.py", "lib/deep/util.py", "other/x.py")
    for link, goal in (("here", "."), ("lib/up", ".."), ("lib/deep/back", "../../lib"), ("twin", "other")):
        (root / link).symlink_to(goal)
    found = look(root)
    assert {one.path for one in found.left_out} == {"here", "lib/up", "lib/deep/back"}
    assert {one.why for one in found.left_out} == {
        "a link to a folder that it lies in: a copy would hold itself"
    }
    assert "twin" in found.files, "a link to another folder is an app's own"


def test_a_link_to_nowhere_stays_out(tmp_path):
    (make(tmp_path, "app.py") / "gone").symlink_to("nowhere")
    found = look(tmp_path)
    assert found.files == ("app.py",)
    assert [one.why for one in found.left_out] == ["a link that leads nowhere"]


def test_words_become_a_command_of_the_image(tmp_path):
    found = look(make(tmp_path, "main.py", "data.txt"))
    assert found.command(["python", "main.py", "data.txt", "-v"], "/srv") == [
        "python", "/srv/main.py", "/srv/data.txt", "-v",
    ]  # fmt: skip
    assert found.command(["./main.py", "x"], "/srv") == ["python3", "/srv/main.py", "x"]
    assert found.command(["/bin/tool.js"], "/srv") == ["node", "/bin/tool.js"]


def test_what_npm_starts_is_started_without_it(tmp_path):
    package = json.dumps({"scripts": {"start": "node ./lib/server.js"}})
    found = look(make(tmp_path, "index.js", "lib/server.js", package__json=package))
    assert found.command(["npm", "start"], "/srv") == ["node", "/srv/lib/server.js"]
    assert found.command(["npm", "test"], "/srv") == ["npm", "test"]


def test_a_file_that_imports_relatively_is_not_the_one_to_start(tmp_path):
    make(tmp_path, app__py="from .lib import x\n", run__py="import app\n")
    assert look(tmp_path).entries == ("run.py", "app.py") and look(tmp_path).notes == ()
    (tmp_path / "run.py").unlink()
    assert ["imports relatively" in note for note in look(tmp_path).notes] == [True]


def test_another_language_is_named(tmp_path):
    assert "but Go (go.mod)" in look(make(tmp_path, "main.go", "go.mod")).why


SECRETS = (
    "secret.txt", "apikey.txt", "api_token", "token.txt", "token.json", ".token", "github-token.txt", "apiKey.json",
    "db_password.yaml", "client_secret_1.apps.json", "conf/access_tokens.json", "mnemonic.txt", "my.secret",
)  # fmt: skip
NONE = (
    "token.py", "tokens.js", "secrets.py", "tokenizer.json", "tokens.txt", "tokens.json", "tokenizer_config.json",
    "secret.test.ts", "token.d.ts", "password.html", "secretary.txt", "monkey.txt", "keys.json", "id_rsa.pub",
    "secrets/__init__.py", "secrets/words.json", "token/lib/x.py", "client_secret_rotation.py",
)  # fmt: skip


def test_what_is_named_like_a_secret_stays_out_and_code_and_vocabularies_do_not(tmp_path):
    found = look(make(tmp_path, "app.py", *SECRETS, "deep/secrets/a/b", *NONE))
    assert set(found.files) == {"app.py", *NONE}
    left = {one.path: one for one in found.left_out}
    assert set(left) == {*SECRETS, "deep/secrets"}
    assert {(one.why, one.dangerous, one.remedy) for one in left.values()} == {
        ("looks like a secret", True, "if it is none, add a COPY line that names it")
    }


def test_a_pem_that_holds_more_than_certificates_stays_out(tmp_path):
    public = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    make(
        tmp_path,
        "app.py",
        "empty.pem",
        ca__pem=public,
        half__pem=public + "-----BEGIN PRIVATE KEY-----\nMII\n",
    )
    (tmp_path / "my.pem").write_bytes(b"\x30\x82\x04")
    found = look(tmp_path)
    assert found.files == ("app.py", "ca.pem", "empty.pem")
    assert {one.path: one.why for one in found.left_out} == {
        "half.pem": "holds a private key", "my.pem": "looks like a secret",
    }  # fmt: skip
