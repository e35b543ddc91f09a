"""`creamtea secrets` on a real chain with a real SMS: list, push, check, audit, cancel; nothing of a value anywhere."""

from __future__ import annotations

import dataclasses
import http.client
import io
import json
import os
import pty
import stat
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.commands.secret_town import Town
from tests.commands.secret_town import town as a_town
from tests.pty.terminal import Terminal
from workflows.cli import main
from workflows.cli.command import parse
from workflows.cli.program import commands
from workflows.commands.secrets import Secrets
from workflows.core.events import Event, TaskChanged
from workflows.core.journal import FOLDER
from workflows.core.manifest import Manifest
from workflows.core.text import shorten
from workflows.iexec import dataset, ids, params
from workflows.iexec.orders import DatasetOrder, RequestOrder
from workflows.iexec.secrets.kinds import KINDS
from workflows.iexec.secrets.ledger import private_key
from workflows.localnet import client
from workflows.localnet.chain import Chain

pytestmark = pytest.mark.chain
VALUE = "correct-horse-battery-staple"
CODE = "import sys; from workflows.cli import main; sys.exit(main())"


@pytest.fixture
def town(chain: Chain, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Town]:
    with a_town(chain, home, tmp_path, capsys) as made:
        yield made


@pytest.fixture
def value(tmp_path: Path) -> Path:
    path = tmp_path / "value.txt"
    path.write_text(VALUE + "\n")
    path.chmod(0o600)
    return path


def rows(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        row["kind"] + (f" {row['name']}" if "requester" in row["kind"] else ""): row
        for row in document["rows"]
    }


def names(document: dict[str, Any]) -> list[str]:
    return [one["name"] for one in document["warnings"] if one["level"] == "act"]


def test_an_app_s_secret_from_nothing_to_for_ever(town: Town, value: Path) -> None:
    code, document = town.secrets("list")
    assert code == 0 and rows(document)["app-secret"]["state"] == "absent"
    assert town.secrets("check", "app-secret")[0] == 1
    assert not town.ledger.exists(), "looking leaves no trace"
    assert [path.name for path in town.project.iterdir()] == ["creamtea.toml"]

    code, document = town.secrets("push", "app-secret", "--from", value, "--yes")
    assert code == 0 and document["pushed"] and document["forever"] and town.is_set("app-secret")
    assert (document["owner"], document["slot"], document["framework"]) == (town.app, "apps", "scone")
    assert stat.S_IMODE(town.ledger.stat().st_mode) == 0o600 and VALUE not in town.ledger.read_text()

    again, repeated = town.secrets("push", "app-secret", "--from", value, "--yes")
    assert again == 0 and not repeated["pushed"], "the same value again is no fault"
    value.write_text("another")
    code, refused = town.secrets("push", "app-secret", "--from", value, "--yes")
    assert code == 1 and refused["error"]["name"] == "secret_exists"

    code, checked = town.secrets("check", "app-secret", "--from", value)
    assert code == 1 and checked["set"] and checked["same"] is False
    row = rows(town.secrets("list")[1])["app-secret"]
    assert row["state"] == "set" and row["commitment"] == document["commitment"] and row["confirmed"]


def test_nothing_is_pushed_without_a_word_of_the_person(town: Town, value: Path) -> None:
    code, document = town.secrets("push", "app-secret", "--from", value)
    assert code == 2 and document["error"]["name"] == "unconfirmed" and not town.is_set("app-secret")
    code, document = town.secrets("push", "app-secret", "--yes")
    assert code == 2 and "--from FILE" in document["error"]["hint"]
    code, document = town.secrets("push", "requester-secret", "--from", value, "--yes")
    assert code == 2 and "--name" in document["error"]["hint"]
    assert not town.ledger.exists()


@pytest.mark.parametrize(
    ("kind", "content", "name"),
    [
        ("app-secret", b" \t\n", "blank_secret"), ("app-secret", b"x" * 4097, "secret_size"),
        ("app-secret", ("é" * 2049).encode(), "secret_size"), ("app-secret", b"", "secret_size"),
        ("app-secret", b"\xff\xfe", "missing"), ("dataset-key", b"not a key", "bad_value"),
        ("result-proxy-url", b"file:///etc/passwd", "bad_value"),
        ("result-key", b"-----BEGIN RSA PUBLIC KEY-----", "POST_COMPUTE_MALFORMED_ENCRYPTION_PUBLIC_KEY"),
    ],
    ids=["blank", "4097 bytes", "multi-byte", "empty", "binary", "no key", "no URL", "PKCS#1"],
)  # fmt: skip
def test_a_value_that_cannot_be_right_is_refused_before_it_is_sent(
    town: Town, value: Path, kind: str, content: bytes, name: str
) -> None:
    value.write_bytes(content)
    code, document = town.secrets("push", kind, "--dataset", town.dataset, "--from", value, "--yes")
    assert code in (1, 2) and document["error"]["name"] == name and document["error"]["hint"]
    assert not town.ledger.exists()


def test_a_value_from_standard_input(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"from a pipe\r\n")))
    code, document = town.secrets("push", "requester-secret", "--name", "pin", "--from", "-", "--yes")
    assert code == 0 and document["title"] == "requester secret pin"
    assert town.secrets("check", "requester-secret", "--name", "pin")[0] == 0
    assert town.secrets("check", "requester-secret", "--name", "Pin")[0] == 1
    other = "0x" + "12" * 20
    assert town.secrets("check", "requester-secret", "--name", "pin", "--owner", other)[0] == 1


def test_a_named_secret_is_replaced_only_when_told(town: Town, value: Path) -> None:
    push = ("push", "named", "--name", "Token", "--from", value, "--yes")
    assert town.secrets(*push)[0] == 0
    value.write_text("a newer one")
    code, document = town.secrets(*push)
    assert code == 1 and "--replace" in document["error"]["hint"]
    code, document = town.secrets(*push, "--replace")
    assert code == 0 and document["replaced"]
    code, document = town.secrets("check", "named", "--name", "token", "--from", value)
    assert code == 0 and document["same"]


def test_a_stranger_s_dataset_takes_no_key(town: Town, value: Path) -> None:
    theirs = town.chain.workerpool  # a registered object of another kind
    value.write_text(dataset.key_text(dataset.new_key()))
    code, document = town.secrets("push", "dataset-key", "--dataset", theirs, "--from", value, "--yes")
    assert code == 2 and document["error"]["name"] == "no_dataset"
    code, document = town.secrets("push", "named", "--name", "x", "--owner", theirs, "--from", value, "--yes")
    assert code == 1 and document["error"]["name"] == "not_allowed"
    assert not town.ledger.exists()


def test_the_result_key_is_made_once_and_taken_ever_after(town: Town) -> None:
    code, document = town.secrets("push", "result-key", "--yes")
    assert code == 0 and document["pushed"]
    private = Path(document["key"]["private"])
    before = private.read_bytes()
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert not town.secrets("push", "result-key", "--yes")[1]["pushed"]
    assert private.read_bytes() == before
    row = rows(town.secrets("audit")[1])["result-key"]
    assert row["same"] is True and row["public"]


def test_on_a_live_network_the_private_key_is_made_under_a_passphrase(town: Town, tmp_path: Path) -> None:
    from workflows.iexec import keys, wallet

    config = town.home / "xdg_config_home" / "creamtea" / "networks.toml"
    config.write_text(config.read_text().replace("simulated = true", "simulated = false"))
    mine = wallet.create("a password", tmp_path / "keystore", work=1 << 12)
    for name in ("password", "passphrase"):
        (tmp_path / name).write_text(f"a {name}\n")
    signing = ("--wallet", mine.path, "--password-file", tmp_path / "password", "--yes")
    code, document = town.secrets("push", "result-key", *signing)
    assert code == 2 and "--passphrase-file" in document["error"]["hint"]
    code, document = town.secrets(
        "push", "result-key", *signing, "--passphrase-file", tmp_path / "passphrase"
    )
    assert code == 0 and document["pushed"] and document["key"]["protected"]
    private = Path(document["key"]["private"])
    assert keys.is_protected(private) and keys.load_private(private, "a passphrase").key_size == 4096
    code, document = town.secrets("check", "result-key", "--wallet", mine.path)
    assert code == 0 and document["owner"] == mine.address


def test_a_passphrase_that_is_given_is_used_on_a_simulated_network_too(town: Town, tmp_path: Path) -> None:
    from workflows.iexec import keys

    (tmp_path / "passphrase").write_text("a passphrase\n")
    code, document = town.secrets("push", "result-key", "--yes", "--passphrase-file", tmp_path / "passphrase")
    assert code == 0 and document["key"]["protected"]
    private = Path(document["key"]["private"])
    assert keys.load_private(private, "a passphrase").key_size == 4096


def test_the_sdk_s_own_key_pair_is_taken_and_not_replaced(town: Town) -> None:
    from workflows.iexec import keys

    folder = town.project / ".secrets" / "beneficiary"
    pair = keys.create(folder, town.me, None)
    before = pair.private.read_bytes()
    code, document = town.secrets("push", "result-key", "--yes")
    assert code == 0 and document["key"]["private"] == str(pair.private) and not document["key"]["protected"]
    assert pair.private.read_bytes() == before
    pair.private.chmod(0o644)
    code, document = town.secrets("audit")
    assert code == 1 and names(document) == ["exposed_file"]


def test_the_audit_of_orders_and_what_mends_it(town: Town, value: Path, tmp_path: Path) -> None:
    value.write_text(dataset.key_text(dataset.new_key()))
    assert town.secrets("push", "dataset-key", "--dataset", town.dataset, "--from", value, "--yes")[0] == 0
    text = params.build(secrets={1: "pin"}).to_text()
    town.write_orders(
        town.signed(DatasetOrder, apprestrict=ids.ZERO_ADDRESS), town.signed(RequestOrder, params=text)
    )
    code, document = town.secrets("audit")
    assert code == 1 and sorted(names(document)) == ["not_set", "open_dataset"]
    assert document["sources"] == ["orders.json"]
    key = rows(document)["dataset-key"]
    assert key["uses"][0]["app"] is None and key["uses"][0]["left"] == 10
    assert document["public"][0]["on_chain"] is True
    assert town.secrets("list")[0] == 0

    value.write_text(VALUE)
    assert town.secrets("push", "requester-secret", "--name", "pin", "--from", value, "--yes")[0] == 0
    order = key["uses"][0]["hash"]
    code, document = town.secrets("cancel", order)
    assert code == 2 and document["error"]["name"] == "unconfirmed"
    code, document = town.secrets("cancel", order, "--yes")
    assert code == 0 and document["tx"] and document["left"] == 0
    assert town.secrets("cancel", order, "--yes")[1]["tx"] is None
    code, document = town.secrets("audit")
    assert code == 0 and names(document) == []
    assert rows(document)["dataset-key"]["uses"] == []
    assert town.secrets("cancel", "0x" + "12" * 32, "--yes")[1]["error"]["name"] == "no_order"


def test_an_order_that_was_signed_elsewhere_is_known_from_the_market(town: Town) -> None:
    """By the same owner, on another machine: no file here has it."""
    order = town.signed(DatasetOrder, apprestrict=ids.ZERO_ADDRESS)
    town.offer(order)
    code, document = town.secrets("audit")
    [use] = rows(document)["dataset-key"]["uses"]
    assert use["hash"] == order.hash(town.domain) and use["source"] == "the market" and use["app"] is None
    assert document["market"] == {"url": town.market, "orders": 1} and document["sources"] == ["the market"]
    assert code == 1 and set(names(document)) == {"open_dataset", "not_set"}
    code, document = town.secrets("cancel", use["hash"], "--yes")
    assert code == 0 and document["tx"]
    assert town.secrets("audit")[1]["rows"] == [
        row for row in town.secrets("audit")[1]["rows"] if not row["uses"]
    ]


def test_an_order_that_a_market_made_up_lets_nobody_read(town: Town) -> None:
    """Whatever a market says: an order counts that the owner signed for this chain."""
    real = town.signed(DatasetOrder)
    forged = dataclasses.replace(real, apprestrict=ids.ZERO_ADDRESS)

    class Liar(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"ok": True, "count": 1, "orders": [{"order": forged.to_json()}]}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Liar) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        town.network(market=f"http://127.0.0.1:{server.server_port}")
        code, document = town.secrets("audit", "--dataset", town.dataset)
        server.shutdown()
    assert code == 0 and document["sources"] == []


def test_a_market_that_is_silent_or_missing_is_told(town: Town) -> None:
    town.network(market="http://127.0.0.1:9")
    code, document = town.secrets("audit")
    assert code == 1 and names(document) == ["no_market_answer"]
    assert document["market"] == {"url": "http://127.0.0.1:9", "orders": None}
    town.network(market="")
    code, document = town.secrets("audit")
    assert code == 0 and document["market"] is None
    assert [one["name"] for one in document["warnings"]] == ["no_market"]


def test_a_slow_sms_is_asked_for_several_secrets_at_once(town: Town, value: Path) -> None:
    for number in range(8):
        town.secrets("push", "requester-secret", "--name", f"pin-{number}", "--from", value, "--yes")
    with slow(town.sms, 1.5) as (url, most):
        town.network(sms=url)
        words = ["secrets", "list", "--project", str(town.project), "--owner", town.me]
        with Terminal(words, size=(120, 60)) as terminal:
            terminal.until(f"waiting for the SMS {url}")
            assert terminal.end() == 0
        assert max(most) == 8
        assert b"pin-7" in terminal.raw and "◐" not in terminal.text


@contextmanager
def slow(url: str, seconds: float) -> Iterator[tuple[str, list[int]]]:
    """The same server behind a line on which each answer takes so long; how many were under way at each question."""
    lock, now, counts = threading.Lock(), 0, list[int]()

    class Late(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.pass_on()

        def do_HEAD(self) -> None:
            self.pass_on()

        def pass_on(self) -> None:
            nonlocal now
            with lock:
                now += 1
                counts.append(now)
            time.sleep(seconds)
            with lock:
                now -= 1
            line = http.client.HTTPConnection(urlsplit(url).netloc)
            line.request(self.command, self.path)
            answer = line.getresponse()
            body = answer.read()
            self.send_response(answer.status)
            for name, content in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "connection", "date", "server"):
                    self.send_header(name, content)
            self.end_headers()
            self.wfile.write(body)
            line.close()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Late) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", counts
        finally:
            server.shutdown()


def test_orders_of_a_file_and_of_a_damaged_one(town: Town, tmp_path: Path) -> None:
    path = tmp_path / "theirs.json"
    path.write_text(json.dumps([town.signed(DatasetOrder).to_json()]))
    code, document = town.secrets("audit", "--dataset", town.dataset, "--orders", path)
    assert code == 1 and names(document) == ["not_set"] and document["sources"] == [str(path)]
    (town.project / "orders.json").write_text("{")
    assert names(town.secrets("audit")[1]) == ["unreadable_orders"]
    path.write_text("{")
    assert town.secrets("audit", "--orders", path)[0] == 2


def test_the_project_s_own_key_file_is_pushed_and_watched(town: Town) -> None:
    from workflows.steps.encrypt_dataset import key_path

    town.ran(dataset="leaves.csv")
    file = key_path(town.project, "leaves.csv")
    dataset.ensure_key(file)
    assert town.secrets("push", "dataset-key", "--yes")[0] == 0 and town.is_set("dataset-key")
    code, document = town.secrets("push", "dataset-key", "--yes")
    assert code == 0 and not document["pushed"], "it is the same, and nobody is asked"
    code, document = town.secrets("audit")
    assert code == 0 and rows(document)["dataset-key"]["same"] is True
    file.unlink()
    dataset.ensure_key(file)
    code, document = town.secrets("audit")
    assert code == 1 and names(document) == ["other_value"]


def test_a_file_that_was_deleted_after_the_push_is_no_fault(town: Town, value: Path) -> None:
    town.ran(app_secret_file=str(value))
    assert town.secrets("push", "app-secret", "--from", value, "--yes")[0] == 0
    row = rows(town.secrets("audit")[1])["app-secret"]
    assert row["same"] is True and row["file"] == str(value)
    value.write_text("another")
    assert names(town.secrets("audit")[1]) == ["other_value"]
    value.write_text("  ")
    assert names(town.secrets("audit")[1]) == ["bad_value"]
    value.unlink()
    code, document = town.secrets("audit")
    assert code == 0 and rows(document)["app-secret"]["file"] is None


def test_a_changed_app_lacks_the_secret_of_the_one_before(town: Town, value: Path) -> None:
    first = town.app
    journal = town.ran()
    journal.append("done", "deploy_app", run="r", data={"outputs": {"app": first}})
    assert town.secrets("push", "app-secret", "--from", value, "--yes")[0] == 0
    assert town.secrets("audit")[0] == 0
    second = town.register("tea, changed")
    Manifest(town.project).set("networks.trial.app", second)
    journal.append("done", "deploy_app", run="r", data={"outputs": {"app": second}})
    code, document = town.secrets("list")
    assert code == 0 and document["app"] == second and names(document) == ["not_carried_over"]
    code, document = town.secrets("audit")
    assert code == 1 and names(document) == ["not_carried_over"]
    assert town.secrets("push", "app-secret", "--app", second, "--from", value, "--yes")[0] == 0
    assert town.secrets("audit")[0] == 0


def test_a_file_that_the_manifest_names_is_watched(town: Town, value: Path) -> None:
    (town.project / "dev.secret").write_text(value.read_text())
    manifest = town.project / "creamtea.toml"
    before = manifest.read_text()
    manifest.write_text('app_secret_file = "dev.secret"\n' + before)
    assert town.secrets("push", "app-secret", "--from", value, "--yes")[0] == 0
    row = rows(town.secrets("audit")[1])["app-secret"]
    assert row["same"] is True and row["file"] == str(town.project / "dev.secret")


def test_the_number_of_a_requester_s_secret_may_begin_with_a_nought(town: Town, value: Path) -> None:
    town.ran(requester_secret=[f"01={value}"])
    private_key(town.project / FOLDER / "keys" / "commitment.key")
    assert town.secrets("audit")[0] == 0


@pytest.mark.parametrize("outputs", [None, {}, {"deal": 5, "dataset": "x"}, {"deal": "0x12"}, []])
def test_an_odd_journal_ends_nothing(town: Town, outputs: Any) -> None:
    journal = town.ran()
    for step in ("deploy_app", "encrypt_dataset", "request"):
        journal.append("done", step, run="r", data={"outputs": outputs})
    journal.append(
        "intent", "request", run="r", data={"transaction": {"predicted": "nonsense"}, "orders": [1]}
    )
    assert town.secrets("audit")[0] == 0


def test_a_silent_sms_is_told_in_the_rows_and_by_the_exit_code(town: Town) -> None:
    config = town.home / "xdg_config_home" / "creamtea" / "networks.toml"
    config.write_text(config.read_text().replace(town.sms, "http://127.0.0.1:9"))
    code, document = town.secrets("list")
    assert code == 3 and {row["set"] for row in document["rows"]} == {None}
    assert names(document) == ["no_answer"]
    assert town.secrets("check", "app-secret")[0] == 3


def test_who_leaves_while_the_localnet_starts_does_not_hold_it(
    tools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, project = tmp_path / "localnet", tmp_path / "app"
    for folder in (state, project):
        folder.mkdir()
    monkeypatch.setenv("CREAMTEA_LOCALNET", str(state))
    command, join, leases = Secrets(lasting=True), client.join, list[client.Lease]()

    def left(*given: Any) -> client.Lease:
        leases.append(join(*given))
        if len(leases) == 1:
            command.close()  # as the screen does, from its own thread
        return leases[-1]

    monkeypatch.setattr(client, "join", left)
    told: list[Event] = []
    assert command.run(parse(command, ["audit", "--project", str(project)]), told.append).exit_code == 0
    tasks = [(event.task, event.state) for event in told if isinstance(event, TaskChanged)]
    assert tasks[0] == ("localnet", "running") and tasks[-1] == ("localnet", "done"), (
        "who waits is told for what"
    )
    assert ("chain", "running") in tasks
    assert leases and not any(lease.alive() for lease in leases)
    client.stop(state)


def test_the_lines_for_people_have_no_control_characters(town: Town, value: Path) -> None:
    assert town.capsys is not None
    town.secrets("push", "app-secret", "--from", value, "--yes")
    for words in (["secrets"], ["secrets", "audit"], ["secrets", "check", "app-secret"]):
        assert main([*words, "--project", str(town.project)]) == 0
        shown = town.capsys.readouterr()
        assert "app developer secret" in shown.out and VALUE not in shown.out + shown.err
        assert all(line.isprintable() for line in shown.out.splitlines())


def test_a_person_types_the_value_and_nobody_sees_it(town: Town) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        words = ["secrets", "push", "app-secret", "--project", str(town.project)]
        os.execv(sys.executable, [sys.executable, "-c", CODE, *words])
    seen = b""
    for question, answer in ((b"not shown): ", VALUE), (b"the same again", VALUE), (b"[y/N]", "y")):
        while question not in seen:
            seen += os.read(terminal, 4096)
        os.write(terminal, answer.encode() + b"\n")
    try:
        while chunk := os.read(terminal, 4096):
            seen += chunk
    except OSError:
        pass  # the terminal is closed
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, seen.decode()
    assert VALUE.encode() not in seen and b"for ever" in seen
    assert town.is_set("app-secret")


def test_no_option_takes_a_value_and_all_kinds_are_in_the_help() -> None:
    assert isinstance(commands()["secrets"], Secrets)
    flags = {argument.name for argument in Secrets.arguments}
    assert not flags & {"--value", "--secret", "--secret-value", "value"}
    assert all(kind in (Secrets.__doc__ or "") for kind in KINDS)


def test_a_damaged_ledger_is_told_before_a_value_is_gone_for_ever(town: Town, value: Path) -> None:
    assert town.secrets("push", "requester-secret", "--name", "pin", "--from", value, "--yes")[0] == 0
    town.ledger.write_text("garbage\n" + town.ledger.read_text())
    code, document = town.secrets("push", "app-secret", "--from", value, "--yes")
    assert code == 1 and document["error"]["name"] == "ledger" and not town.is_set("app-secret")


def test_without_the_key_of_its_commitments_the_ledger_tells_nothing_wrong(town: Town, value: Path) -> None:
    town.ran(app_secret_file=str(value))
    assert town.secrets("push", "app-secret", "--from", value, "--yes")[0] == 0
    key = town.ledger.with_name("commitment.key")
    kept = key.read_bytes()
    key.unlink()
    code, document = town.secrets("audit")
    assert code == 1 and document["error"]["name"] == "commitment_key"
    assert "pushed.jsonl" in document["error"]["hint"] and not key.exists()
    key.write_bytes(kept)
    assert town.secrets("audit")[0] == 0
    key.unlink()
    town.ledger.unlink()  # as told
    assert town.secrets("audit")[0] == 0


def test_a_push_whose_answer_was_lost_is_told_when_it_is_tried_again(
    town: Town, value: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workflows.core.failure import Unavailable
    from workflows.iexec.sms import Sms

    push = Sms.push_app_secret

    def deaf(self: Sms, owner: str, text: str) -> None:
        push(self, owner, text)
        raise Unavailable("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(Sms, "push_app_secret", deaf)
        assert town.secrets("push", "app-secret", "--from", value, "--yes")[0] == 3
    code, document = town.secrets("push", "app-secret", "--from", value, "--yes")
    assert code == 1 and "may well be this value" in document["error"]["message"]
    code, document = town.secrets("check", "app-secret", "--from", value)
    assert (code, document["same"], document["confirmed"]) == (0, True, False)
    assert town.capsys is not None
    assert main(["secrets", "check", "app-secret", "--project", str(town.project)]) == 0
    assert "never said that it came" in town.capsys.readouterr().out
    value.write_text("another")
    code, document = town.secrets("push", "app-secret", "--from", value, "--yes")
    assert code == 1 and "another value" in document["error"]["message"]


def test_what_nobody_sees_in_a_value_is_told_before_it_is_for_ever(town: Town, value: Path) -> None:
    value.write_bytes(b"\xef\xbb\xbfpin \n")
    assert town.capsys is not None
    words = ["secrets", "push", "app-secret", "--from", str(value), "--project", str(town.project)]
    assert main(words) == 2
    told = town.capsys.readouterr().err
    assert "byte order mark" in told and "ends with blanks" in told


def test_standard_input_that_is_closed(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    code, document = town.secrets("push", "app-secret", "--from", "-", "--yes")
    assert code == 2 and "standard input" in document["error"]["message"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["check"], "which kind"), (["push"], "which kind"), (["check", "bogus"], "no kind of secret"),
        (["cancel"], "which order"), (["accept"], "which warning"), (["list", "bogus"], "takes no"),
        (["audit", "dataset-key"], "takes no"), (["check", "app-secret", "--name", "x"], "no name of its own"),
        (["check", "requester-secret", "--name", "../x"], "a name has 1 to 64"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, list) else "",
)  # fmt: skip
def test_words_that_mean_nothing_are_told_before_any_network_is_asked(
    words: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["secrets", *words, "--json", "--project", str(tmp_path)]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert told in error["message"] and error["hint"]


def test_a_name_that_is_asked_for_comes_before_the_value(town: Town, value: Path) -> None:
    code, document = town.secrets("push", "requester-secret", "--from", "/nonexistent", "--yes")
    assert code == 2 and "name" in document["error"]["message"]


def test_a_value_that_is_typed_twice_and_differs_is_not_sent(town: Town) -> None:
    from workflows.core.events import Asked
    from workflows.core.failure import Failed

    typed = iter(["hunter2", "hunter3"])
    command = Secrets()
    options = parse(command, ["push", "app-secret", "--project", str(town.project)])

    def answer(asked: Asked) -> str:
        assert asked.kind == "secret"
        return next(typed)

    with pytest.raises(Failed, match="differ"):
        command.run(options, lambda _: None, answer)
    assert not town.is_set("app-secret") and not town.ledger.exists()


def test_a_warning_is_accepted_by_its_id_and_warned_of_again(town: Town, value: Path) -> None:
    value.write_text(dataset.key_text(dataset.new_key()))
    assert town.secrets("push", "dataset-key", "--dataset", town.dataset, "--from", value, "--yes")[0] == 0
    town.write_orders(town.signed(DatasetOrder, apprestrict=ids.ZERO_ADDRESS))
    code, document = town.secrets("audit")
    [warning] = [one for one in document["warnings"] if one["level"] == "act"]
    assert code == 1 and warning["name"] == "open_dataset" and warning["accepted"] is None
    code, document = town.secrets("accept", "00000000")
    assert code == 2 and "00000000" in document["error"]["message"]
    code, document = town.secrets("accept", warning["id"])
    assert code == 0 and document["accepted"] and document["text"] == warning["text"]
    code, document = town.secrets("audit")
    [known] = [one for one in document["warnings"] if one["name"] == "open_dataset"]
    assert code == 0 and (known["level"], known["id"]) == ("know", warning["id"]) and known["accepted"]
    assert town.capsys is not None
    assert main(["secrets", "audit", "--project", str(town.project)]) == 0
    shown = town.capsys.readouterr().out
    assert f"accepted on {known['accepted'][:10]}" in shown and f"accept {warning['id']} --undo" in shown
    assert town.secrets("accept", warning["id"], "--undo")[1]["accepted"] is None
    assert town.secrets("audit")[0] == 1


def test_an_order_is_cancelled_by_its_hash_as_it_is_shown(town: Town) -> None:
    town.write_orders(town.signed(DatasetOrder))
    [use] = rows(town.secrets("audit", "--dataset", town.dataset)[1])["dataset-key"]["uses"]
    code, document = town.secrets("cancel", shorten(use["hash"]), "--dataset", town.dataset, "--yes")
    assert code == 0 and document["order"] == use["hash"] and document["tx"]
