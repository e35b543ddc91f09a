"""Whole tasks on the real services: what comes out, and the cause of everything that may go wrong."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import tarfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.localnet.worker.world import COMMAND, App, World, lines, states
from workflows.iexec import keys, tags
from workflows.iexec.ids import sha256_hex
from workflows.iexec.orders import DatasetOrder
from workflows.iexec.records import TaskStatus
from workflows.iexec.results import extract

pytestmark = [pytest.mark.engine, pytest.mark.chain]

PHASES = ["initialize", "session", "attestation", "pre-compute", "app", "post-compute", "finalize"]


def test_from_encrypted_data_to_an_encrypted_result(world: World, app: App, tmp_path: Path) -> None:
    dataset = world.dataset(b"what only the enclave may read", tmp_path)
    pair = keys.create(tmp_path / "keys", world.owner.address, None)
    world.sms_client.push_result_key(keys.sms_value(pair), replace=True)
    task, end, records = world.run(app, dataset=dataset, result_encryption=True)
    assert end == {"type": "end", "status": "COMPLETED", "cause": None, "message": "", "hint": ""}
    assert states(records) == dict.fromkeys(PHASES, "done")
    assert list(dict.fromkeys(r["task"] for r in records if r["type"] == "task_changed")) == PHASES
    assert any("SIMULATED attestation" in line for line in lines(records, "pre-compute"))
    assert any("checksum as on the chain" in line for line in lines(records, "pre-compute"))
    assert "read 30 bytes" in lines(records, "app")
    archive = tmp_path / "result.zip"
    archive.write_bytes(world.result(task))
    assert b"only the enclave" not in archive.read_bytes()
    extract(archive, tmp_path / "out", keys.load_private(pair.private))
    assert (tmp_path / "out" / "result.txt").read_bytes() == b"what only the enclave may read"
    assert world.poco.view_task(task).status is TaskStatus.COMPLETED
    assert world.leftovers() == []


def test_no_dataset_no_encryption_and_arguments(world: World, app: App) -> None:
    task, end, records = world.run(app, "ok more words")
    assert end["status"] == "COMPLETED"
    assert set(world.result_files(task)) == {"computed.json", "result.txt"}
    assert states(records)["pre-compute"] == "done" and lines(records, "pre-compute") == []


def test_secrets_of_developer_and_requester_reach_the_app_only(world: World) -> None:
    image, fingerprint = world.image()
    app = world.deploy(image, f"{fingerprint}|{COMMAND}")
    world.sms_client.push_app_secret(app.address, "developer-word")
    world.sms_client.push_requester_secret(f"name-{app.address[2:10]}", "requester-word")
    task, end, records = world.run(app, "secrets", secrets={1: f"name-{app.address[2:10]}"})
    assert end["status"] == "COMPLETED"
    assert world.result_files(task)["result.txt"] == b"developer-wordrequester-word"
    assert "developer-word" not in json.dumps(records) and "requester-word" not in json.dumps(records)


def test_input_files_come_through_the_gateway(world: World, app: App, tmp_path: Path) -> None:
    from workflows.iexec.storage import upload

    (tmp_path / "in.csv").write_bytes(b"a,b\n1,2\n")
    cid = upload(world.storage.api.url, tmp_path / "in.csv").cid
    task, end, _ = world.run(app, "inputs", input_files=[f"{world.storage.url}/ipfs/{cid}"])
    assert end["status"] == "COMPLETED"
    assert world.result_files(task)["result.txt"] == b"a,b\n1,2\n"


def test_an_app_sees_the_variables_of_its_time(world: World, app: App, newer: App, tmp_path: Path) -> None:
    from workflows.iexec.storage import upload

    (tmp_path / "in.csv").write_bytes(b"a,b\n1,2\n")
    url = f"{world.storage.url}/ipfs/{upload(world.storage.api.url, tmp_path / 'in.csv').cid}"
    dataset = world.dataset(b"what only the enclave may read", tmp_path)
    name = world.poco.dataset(dataset).name  # type: ignore[union-attr]
    for which in (app, newer):
        task, end, records = world.run(which, "environment", dataset=dataset, input_files=[url])
        assert end["status"] == "COMPLETED", end
        assert "read 30 bytes" in lines(records, "app")
        of_2021 = which is app
        deal = world.poco.view_task(task).dealid
        more = {} if of_2021 else {"IEXEC_DEAL_ID": deal, "IEXEC_TASK_INDEX": "0"}
        assert json.loads(world.result_files(task)["result.txt"]) == more | {
            "IEXEC_TASK_ID": task,
            "IEXEC_IN": "/iexec_in",
            "IEXEC_OUT": "/iexec_out",
            "IEXEC_DATASET_ADDRESS": dataset.lower(),
            "IEXEC_DATASET_FILENAME": name if of_2021 else dataset.lower(),
            "IEXEC_BOT_SIZE": "1",
            "IEXEC_BOT_FIRST_INDEX": "0",
            "IEXEC_BOT_TASK_INDEX": "0",
            "IEXEC_INPUT_FILES_NUMBER": "1",
            "IEXEC_INPUT_FILES_FOLDER": "/iexec_in",
            "IEXEC_INPUT_FILE_NAME_1": url.rpartition("/")[2] if of_2021 else sha256_hex(url.encode()),
        }


@pytest.fixture(scope="module")
def newer(world: World, app: App) -> App:
    """The app again, with a fingerprint in the form of today."""
    mrenclave = world.poco.app(app.address).mrenclave.decode().split("|")[2]  # type: ignore[union-attr]
    current = {"framework": "SCONE", "version": "v5.9", "entrypoint": COMMAND, "heapSize": 1 << 30}
    return world.deploy(app.image, json.dumps(current | {"fingerprint": mrenclave}))


def test_a_bulk_of_datasets_is_decrypted_for_the_app(world: World, newer: App, tmp_path: Path) -> None:
    first, second = (world.dataset(text, tmp_path) for text in (b"the first", b"the second"))
    endless = {"volume": (1 << 53) - 1, "tag": tags.TEE_SCONE, "apprestrict": newer.address}
    bulk = world.bulk(tmp_path, *(DatasetOrder(dataset=one, **endless) for one in (first, second)))
    pair = keys.create(tmp_path / "keys", world.owner.address, None)
    world.sms_client.push_result_key(keys.sms_value(pair), replace=True)
    task, end, records = world.run(newer, "bulk", bulk=bulk, result_encryption=True)
    assert end["status"] == "COMPLETED", end
    assert lines(records, "pre-compute").count("dataset: checksum as on the chain, decrypted") == 2
    archive = tmp_path / "result.zip"
    archive.write_bytes(world.result(task))
    extract(archive, tmp_path / "out", keys.load_private(pair.private))
    found = json.loads((tmp_path / "out" / "result.txt").read_bytes())
    assert found == {first: "the first", second: "the second"}
    assert "the first" not in json.dumps(records)


def test_a_bulk_that_is_not_all_there_ends_the_task_with_a_cause_for_each_dataset(
    world: World, newer: App, tmp_path: Path
) -> None:
    good, keyless = world.dataset(b"good", tmp_path), world.dataset(b"x", tmp_path, push=False)
    endless = {"volume": (1 << 53) - 1, "tag": tags.TEE_SCONE}
    orders = [
        DatasetOrder(dataset=keyless, **endless),
        DatasetOrder(dataset=good, **endless),
        DatasetOrder(dataset=good, apprestrict=keyless, **endless),
    ]
    task, end, records = world.run(newer, "bulk", bulk=world.bulk(tmp_path, *orders))
    url = f"PRE_COMPUTE_DATASET_URL_MISSING: dataset {good}"
    _refused(world, end, task, "PRE_COMPUTE_DATASET_KEY_MISSING", f"dataset {keyless}", url)
    assert any("decrypted" in line for line in lines(records, "pre-compute"))


def test_the_three_part_form_takes_its_command_from_the_order(world: World) -> None:
    image, fingerprint = world.image()
    task, end, _ = world.run(world.deploy(image, fingerprint), COMMAND)
    assert end["status"] == "COMPLETED" and "result.txt" in world.result_files(task)


def test_a_name_that_another_image_has_now_still_runs_the_registered_one(world: World) -> None:
    """Two people on one engine give their images the same name; an app is what was registered."""
    image, fingerprint = world.image()
    app = world.deploy(image, f"{fingerprint}|{COMMAND}")
    registered = world.engine.require(image).id
    world.engine.tag(world.image()[0], image)
    _, end, records = world.run(app)
    world.engine.tag(registered, image)  # or nobody would remove it
    assert end["status"] == "COMPLETED", end
    assert any("is not the one that this engine has under" in line for line in lines(records, "worker"))


def test_the_json_form_sets_the_heap(world: World, app: App) -> None:
    mrenclave = world.poco.app(app.address).mrenclave.decode().split("|")[2]  # type: ignore[union-attr]

    def form(heap: int) -> str:
        return json.dumps(
            {
                "framework": "SCONE",
                "version": "v5.9",
                "entrypoint": COMMAND,
                "heapSize": heap,
                "fingerprint": mrenclave,
            }
        )

    assert world.run(world.deploy(app.image, form(1 << 30)))[1]["status"] == "COMPLETED"
    _, end, _ = world.run(world.deploy(app.image, form(1 << 29)))
    assert end["cause"] == "APP_COMPUTE_FAILED" and "MRENCLAVE" in end["message"]


def test_all_tasks_of_a_deal_run_one_after_another(world: World, app: App) -> None:
    tasks = world.request(app, volume=3)
    assert len(tasks) == 3
    assert [world.watch(task)[-1]["status"] for task in tasks] == ["COMPLETED"] * 3


def test_hostile_output_is_clean_and_a_flood_is_bounded(world: World, app: App) -> None:
    _, end, records = world.run(app, "hostile")
    assert end["status"] == "COMPLETED"
    assert "red abc" in lines(records, "app")
    _, end, records = world.run(app, "flood")
    assert end["status"] == "COMPLETED"
    printed = lines(records, "app")
    assert 10_000 < len(printed) < 21_000 and "clipped" in printed[-1]


def test_an_app_cannot_speak_for_post_compute(world: World, app: App) -> None:
    task, end, _ = world.run(app, "forge")
    assert end["status"] == "COMPLETED"
    assert b"401" in world.result_files(task)["result.txt"]


def test_a_callback_gets_its_bytes_on_the_chain_and_nothing_is_uploaded(world: World, app: App) -> None:
    task, end, _ = world.run(app, "callback", callback="0x" + "77" * 20)
    assert end["status"] == "COMPLETED"
    found = world.poco.view_task(task)
    assert found.results_callback == b"\xab" * 32 and json.loads(found.results) == {"storage": "none"}


# -- refusals


def _refused(world: World, end: dict[str, Any], task: str, cause: str, *words: str) -> None:
    assert (end["status"], end["cause"]) == ("FAILED", cause), end
    for word in words:
        assert word in end["message"], end
    assert world.poco.view_task(task).status is TaskStatus.ACTIVE  # nothing half-done on the chain
    assert world.leftovers() == []


def test_a_file_altered_after_the_fingerprint(world: World, app: App) -> None:
    fingerprint = world.poco.app(app.address).mrenclave.decode()  # type: ignore[union-attr]
    altered = world.changed(app.image, {"app/app.py": "print('not the app that was measured')\n"})
    task, end, records = world.run(world.deploy(altered, fingerprint))
    _refused(world, end, task, "APP_COMPUTE_FAILED", "/app/app.py")
    assert "build the image again" in end["hint"].lower()
    assert not any("not the app" in line for line in lines(records, "app"))
    assert states(records)["app"] == "failed" and states(records)["post-compute"] == "waiting"
    assert states(records)["attestation"] == "done"  # the session was given; the file shield refused


def test_another_heap_than_the_registered_one(world: World, app: App) -> None:
    fingerprint = world.poco.app(app.address).mrenclave.decode()  # type: ignore[union-attr]
    other = world.changed(app.image, changes=["ENV SCONE_HEAP=2G"])
    task, end, _ = world.run(world.deploy(other, fingerprint))
    _refused(world, end, task, "APP_COMPUTE_FAILED", "MRENCLAVE", fingerprint.split("|")[2], "actual")
    assert "heap" in end["hint"]


def test_an_enclave_that_the_session_does_not_name(world: World, app: App) -> None:
    key, tag, _, command = world.poco.app(app.address).mrenclave.decode().split("|")  # type: ignore[union-attr]
    task, end, records = world.run(world.deploy(app.image, f"{key}|{tag}|{'ab' * 32}|{command}"))
    _refused(world, end, task, "APP_COMPUTE_FAILED", "MRENCLAVE", "ab" * 32)
    assert states(records)["attestation"] == "failed"


def test_a_dataset_key_that_was_never_pushed(world: World, app: App, tmp_path: Path) -> None:
    task, end, records = world.run(app, dataset=world.dataset(b"x", tmp_path, push=False))
    _refused(world, end, task, "TEE_SESSION_GENERATION_PRE_COMPUTE_GET_DATASET_SECRET_FAILED")
    assert "push" in end["hint"].lower() and states(records)["session"] == "failed"


def test_a_dataset_without_a_place_is_not_brought_in(world: World, app: App, tmp_path: Path) -> None:
    """iExec's servers ignore it, and the app does not find what it was promised."""
    task, end, records = world.run(app, dataset=world.dataset(b"x", tmp_path, push=False, place=" "))
    _refused(world, end, task, "APP_COMPUTE_FAILED", "FileNotFoundError")
    assert states(records)["session"] == "done" and lines(records, "pre-compute") == []


def test_a_result_key_that_is_missing(world: World, app: App) -> None:
    other = "0x" + "1234" * 10
    task, end, _ = world.run(app, result_encryption=True, beneficiary=other)
    cause = "TEE_SESSION_GENERATION_POST_COMPUTE_GET_ENCRYPTION_TOKENS_FAILED_EMPTY_BENEFICIARY_KEY"
    _refused(world, end, task, cause)


def test_a_dataset_that_is_not_the_registered_one(world: World, app: App, tmp_path: Path) -> None:
    dataset = world.dataset(b"x", tmp_path, checksum="0x" + "00" * 32)
    task, end, records = world.run(app, dataset=dataset)
    _refused(world, end, task, "PRE_COMPUTE_INVALID_DATASET_CHECKSUM", "SHA-256")
    assert states(records)["app"] == "waiting"


@pytest.mark.parametrize(
    ("what", "cause", "words"),
    [
        ("crash", "APP_COMPUTE_FAILED", "RuntimeError: the app's own words"),
        ("nocomputed", "POST_COMPUTE_COMPUTED_FILE_NOT_FOUND", "computed.json"),
        ("long", "POST_COMPUTE_TOO_LONG_RESULT_FILE_NAME", "x" * 32),
    ],
)
def test_what_the_app_does_wrong(world: World, app: App, what: str, cause: str, words: str) -> None:
    task, end, records = world.run(app, what)
    _refused(world, end, task, cause, words)
    stages = ["app"] if what == "crash" else ["app", "post-compute"]
    *_, last = [one for one in records if one["type"] == "task_changed" and one["task"] == "attestation"]
    assert (last["state"], last["detail"]) == ("done", ", ".join(stages))  # CAS gave every session asked for


def test_a_file_that_the_app_leaves_unreadable_is_what_the_hint_speaks_of(world: World, app: App) -> None:
    task, end, _ = world.run(app, "unreadable")
    _refused(world, end, task, "APP_COMPUTE_FAILED", "result.txt", "Permission denied")
    assert "readable" in end["hint"] and "empty folders" not in end["hint"]


def test_an_image_that_nobody_has(world: World, app: App) -> None:
    fingerprint = world.poco.app(app.address).mrenclave.decode()  # type: ignore[union-attr]
    gone = world.changed(app.image)
    lost = world.deploy(gone, fingerprint)
    world.engine.remove(gone, force=True)
    task, end, _ = world.run(lost)
    _refused(world, end, task, "APP_IMAGE_DOWNLOAD_FAILED", gone)


def test_an_app_without_a_fingerprint(world: World, app: App) -> None:
    task, end, _ = world.run(world.deploy(app.image, ""))
    _refused(world, end, task, "PRE_COMPUTE_MISSING_ENCLAVE_CONFIGURATION")


# -- between the enclaves, and after a stop


def test_the_worker_sees_only_ciphertext_in_the_volumes(world: World, app: App, tmp_path: Path) -> None:
    secret = b"seen nowhere but in the enclave"
    [task] = world.request(app, "sleep 3", dataset=world.dataset(secret, tmp_path))
    found: dict[str, bytes] = {}

    def look(record: dict[str, Any]) -> None:
        if record["type"] == "lines" and record["task"] == "app" and "read 31 bytes" in record["text"]:
            volume = f"creamtea-{task[2:18]}-iexec_in"
            volumes = {volume: "/volume"}
            with world.engine.create(world.base.root, ["-"], entrypoint=[], volumes=volumes) as holder:
                found["all"] = b"".join(holder.get("/volume"))

    assert world.watch(task, look)[-1]["status"] == "COMPLETED"
    with tarfile.open(fileobj=io.BytesIO(found["all"])) as archive:
        names = archive.getnames()
    assert names == ["volume", "volume/volume.enc"]
    assert b"SCONEVOL1" in found["all"] and secret not in found["all"]


def test_a_stopped_worker_takes_the_task_up_again(world: World, app: App) -> None:
    [task] = world.request(app, "sleep 4")
    stopped = False

    def stop(record: dict[str, Any]) -> None:
        nonlocal stopped
        if not stopped and record["type"] == "lines" and record["task"] == "app":
            stopped = True
            world.call(world.stop_compute())

    with contextlib.suppress(OSError, http.client.HTTPException):  # the stream breaks off
        assert world.watch(task, stop)[-1]["type"] != "end"
    assert stopped and world.poco.view_task(task).status is TaskStatus.ACTIVE
    world.call(world.start_compute())
    records = world.watch(task)
    assert records[-1]["status"] == "COMPLETED" and states(records) == dict.fromkeys(PHASES, "done")
    assert world.leftovers() == []


def test_a_failed_task_stays_failed_after_a_restart_and_its_history_is_kept(world: World, app: App) -> None:
    task, end, before = world.run(app, "crash")
    world.call(world.stop_compute())
    world.call(world.start_compute())
    assert world.watch(task) == before and before[-1] == end


# -- the API


def _get(world: World, path: str) -> Any:
    with urllib.request.urlopen(f"{world.worker.url}{path}") as answer:
        return json.load(answer)


def test_status_logs_and_unknown_tasks(world: World, app: App) -> None:
    task, _, _ = world.run(app, "crash")
    status = _get(world, f"/tasks/{task}")
    assert (status["chainTaskId"], status["status"]) == (task, "FAILED")
    assert status["cause"] == "APP_COMPUTE_FAILED"
    [log] = _get(world, f"/tasks/{task}/logs")
    assert "RuntimeError" in log["stderr"] and "read 7 bytes" in log["stdout"]
    with pytest.raises(urllib.error.HTTPError) as caught:
        _get(world, "/tasks/0x" + "00" * 32)
    assert caught.value.code == 404


@pytest.mark.parametrize(
    "query",
    [
        "",
        "category=9",
        "category=x",
        "category=0&volume=0",
        f"category=0&tag=0x{'00' * 31}05",
        "category=0&tag=1",
    ],
)
def test_orders_that_the_pool_does_not_sell(world: World, query: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        _get(world, f"/workerpoolorder?{query}")
    assert caught.value.code == 400 and json.load(caught.value)["error"]


def test_a_signed_order_is_taken_by_the_chain(world: World) -> None:
    from workflows.iexec.orders import WorkerpoolOrder

    order = WorkerpoolOrder.from_json(_get(world, "/workerpoolorder?category=1"))
    assert order.workerpool == world.chain.workerpool and order.category == 1
    assert world.poco.signed(order, world.chain.accounts["workerpool"].address)
