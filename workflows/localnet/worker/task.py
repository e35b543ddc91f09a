"""The life of one task, from `initialize` to `finalize`, as blocking code in a thread of its own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workflows.core.failure import Cancelled, Failed
from workflows.core.step import Cancel
from workflows.core.text import shorten
from workflows.iexec import ids, tags
from workflows.iexec.params import Params, parse
from workflows.iexec.records import App, Dataset, Deal, TaskStatus
from workflows.iexec.signatures import signer_of
from workflows.iexec.web import is_loopback
from workflows.localnet.worker.enclaves import Enclaves
from workflows.localnet.worker.phases import WORKER, Phases
from workflows.localnet.worker.record import Record
from workflows.localnet.worker.reports import Expected, Reports
from workflows.localnet.worker.session import Granted, SessionClient
from workflows.localnet.worker.stage import Room
from workflows.scone.fingerprint import Fingerprint, InvalidFingerprint, form_of
from workflows.scone.fingerprint import parse as parse_fingerprint

if TYPE_CHECKING:
    from workflows.containers.engine import Image
    from workflows.iexec.poco import Poco

_DEFAULT_VERSION = "v5.9"


@dataclass(frozen=True)
class Order:
    """What is to be run, as the chain has it; `dataset` is None when there is none to bring in."""

    taskid: str
    index: int
    deal: Deal
    app: App
    params: Params
    dataset: Dataset | None
    seconds: int

    @property
    def callback(self) -> bool:
        """Whether the result goes to a contract."""
        return self.deal.callback != ids.ZERO_ADDRESS

    @property
    def needs_pre_compute(self) -> bool:
        """Whether something must be brought in."""
        return self.dataset is not None or self.params.brings_in


class Task:
    """One run of one task by this worker. `poco` signs as the worker."""

    def __init__(
        self,
        poco: Poco,
        sessions: SessionClient,
        room: Room,
        reports: Reports,
        record: Record,
        *,
        internet: bool,
    ) -> None:
        self._poco = poco
        self._sessions = sessions
        self._room = room
        self._reports = reports
        self._record = record
        self._internet = internet
        self._cancel = Cancel()

    def stop(self) -> None:
        """End it as soon as possible; it is not failed, and may be run again later."""
        self._cancel.set()

    def run(self, deal: Deal, index: int) -> None:
        """Everything; the record has the outcome. Cancelled when it was stopped."""
        phases = Phases(self._record, self._cancel)
        try:
            self._run(phases, deal, index)
        except Cancelled:
            raise
        except Failed as failure:
            if self._cancel.is_set():  # stopped: what it met on the way out is no failure of the task
                raise Cancelled from None
            cause = failure.name if failure.name.isupper() else _chain_cause(failure)
            phases.say(f"{cause}: {failure.message}")
            phases.leave()
            self._record.end("FAILED", cause, failure.message, failure.hint)
        except Exception as error:
            phases.leave()
            self._record.end("FAILED", "UNKNOWN", f"the worker failed: {type(error).__name__}: {error}")
            raise

    def _run(self, phases: Phases, deal: Deal, index: int) -> None:
        taskid = ids.taskid(deal.dealid, index)
        self._record.advance("INITIALIZING", dealId=deal.dealid, taskIndex=index, tag=deal.tag)
        with phases.phase("initialize") as detail:
            self._initialize(phases, deal, index, taskid)
            order = self._read(deal, index, taskid)
            detail.append(f"category {deal.category}, {order.seconds} s")
        self._record.advance("INITIALIZED", maxExecutionTime=order.seconds * 1000)
        fingerprint, version = _fingerprint(order.app)
        side = self._sessions.properties(version)
        image = self._image(phases, order)
        with phases.phase("session") as detail:
            granted = self._sessions.grant(taskid, storage=not order.callback, cancel=self._cancel)
            detail.append(granted.session[:10])
        self._record.advance("RUNNING")
        expected = self._reports.expect(taskid, str(self._poco.sender), granted.enclave)
        enclaves = Enclaves(
            self._room, phases, granted.session, expected, order.seconds, side, self._internet
        )
        try:
            enclaves.run(image, fingerprint.heap, pre=order.needs_pre_compute, pre_internet=_outside(order))
        finally:
            self._reports.forget(taskid)
        with phases.phase("finalize") as detail:
            detail.append(self._finalize(phases, order, granted, expected))
        self._record.end("COMPLETED")

    # -- the chain

    def _initialize(self, phases: Phases, deal: Deal, index: int, taskid: str) -> None:
        framework = tags.framework(deal.tag)
        if framework != "scone":
            raise Failed(
                f"the deal's tag asks for {framework or 'no TEE'}, this worker runs SCONE enclaves only",
                "Use the tag tee,scone.",
                name="TEE_NOT_SUPPORTED",
            )
        if deal.trust > 1:
            raise Failed(
                f"the deal asks for trust {deal.trust}: one worker cannot give it",
                "Ask for trust 0 or 1.",
                name="TRUST_NOT_1",
            )
        if self._poco.view_task(taskid).status is TaskStatus.UNSET:
            receipt = self._poco.run(lambda: self._poco.initialize(deal.dealid, index))
            phases.say(f"initialize {shorten(receipt.hash)} mined in block {receipt.block}")
        late = self._poco.block_time() - self._poco.view_task(taskid).contribution_deadline
        if late >= 0:
            raise Failed(
                f"the deadline for contributions passed {late} s ago, counted from the match",
                "Nothing is paid: claim the money back after the final deadline, and request again.",
                name="CONTRIBUTION_TIMEOUT",
            )

    def _read(self, deal: Deal, index: int, taskid: str) -> Order:
        app, category = self._poco.app(deal.app.address), self._poco.category(deal.category)
        if app is None or category is None:
            raise Failed("the app or the category of the deal is not there", name="TASK_DESCRIPTION_INVALID")
        dataset = self._poco.dataset(deal.dataset.address) if deal.has_dataset else None
        if dataset and not dataset.has_place:
            dataset = None
        return Order(taskid, index, deal, app, parse(deal.params, app.mrenclave), dataset, category.seconds)

    def _finalize(self, phases: Phases, order: Order, granted: Granted, expected: Expected) -> str:
        computed = expected.computed or {}
        digest, signature = str(computed.get("result-digest")), str(computed.get("enclave-signature"))
        signed = ids.enclave_hash(self._poco.sender, order.taskid, digest)
        if signer_of(signed, signature) != granted.enclave:
            raise Failed(
                "the result is not signed by the key of this task's enclave",
                "Nothing was sent to the chain.",
                name="POST_COMPUTE_INVALID_TEE_SIGNATURE",
            )
        callback = ids.unhex(str(computed["callback-data"])) if order.callback else b""
        if order.callback:
            results = {"storage": "none"}
        else:
            results = {"storage": "ipfs", "location": self._sessions.location(order.taskid)}
        receipt = self._poco.run(
            lambda: self._poco.contribute_and_finalize(
                order.taskid,
                digest,
                json.dumps(results, separators=(",", ":")).encode(),
                enclave=granted.enclave,
                enclave_sign=signature,
                authorization=granted.authorization,
                callback=callback,
            )
        )
        phases.say(f"contributeAndFinalize {shorten(receipt.hash)} mined in block {receipt.block}")
        return f"block {receipt.block}"

    # -- the image

    def _image(self, phases: Phases, order: Order) -> Image:
        """The registered image if this engine has it, else what is under its name; the enclave decides.

        People who share an engine give their images the same names. A worker could lie about the comparison. What
        protects the data is that another image gets no session, or is refused by its own file shield: so a
        difference is told and not hidden by refusing here.
        """
        name, wanted = order.app.multiaddr, order.app.checksum.removeprefix("0x")
        named, registered = self._room.engine.image(name), self._room.engine.image(f"sha256:{wanted}")
        if registered and named and registered.id != named.id:
            phases.say(f"the registered image is not the one that this engine has under {name} now")
        image = registered or named
        if image is None:
            image = self._pull(name)
        known = {image.id.rpartition(":")[2], *(digest.rpartition(":")[2] for digest in image.digests)}
        if wanted in known:
            phases.say(f"image {name} is the registered one ({wanted[:12]}…)")
        else:
            phases.say(
                f"warning: image {name} is {image.id[7:19]}…, registered is {wanted[:12]}…; its enclave decides"
            )
        return image

    def _pull(self, name: str) -> Image:
        from workflows.containers.reference import Reference

        try:
            Reference.parse(name)
            pull = self._room.engine.pull(name, task=WORKER, cancel=self._cancel)
            while True:
                try:
                    self._record.add(next(pull))
                except StopIteration as end:
                    image: Image = end.value
                    return image
        except Cancelled:
            raise
        except (Failed, ValueError) as error:
            raise Failed(
                f"the app's image {name} cannot be had: {error}",
                "The engine has no such image, and no registry gives it: build it, or push it and deploy again.",
                name="APP_IMAGE_DOWNLOAD_FAILED",
            ) from None


def _outside(order: Order) -> bool:
    """Whether pre-compute has to leave the task network: for what a URL of the Internet names.

    Where the datasets of a bulk task lie the SMS alone has read.
    """
    if order.params.bulk_cid is not None:
        return True
    urls = [*order.params.input_files, *([order.dataset.multiaddr] if order.dataset else [])]
    return any(url.startswith(("http://", "https://")) and not is_loopback(url) for url in urls)


def _fingerprint(app: App) -> tuple[Fingerprint, str]:
    """The app's fingerprint and the framework version of its form."""
    try:
        found = parse_fingerprint(app.mrenclave)
        return found, found.version if form_of(app.mrenclave) == "json" else _DEFAULT_VERSION
    except InvalidFingerprint as error:
        missing = not app.mrenclave
        raise Failed(
            f"the app's fingerprint on the chain cannot be used: {error.message}",
            "Build, measure and deploy the app: a registered fingerprint cannot be changed.",
            name="PRE_COMPUTE_MISSING_ENCLAVE_CONFIGURATION"
            if missing
            else "PRE_COMPUTE_INVALID_ENCLAVE_CONFIGURATION",
        ) from None


def _chain_cause(failure: Failed) -> str:
    """iExec's name for a failure of the chain client."""
    return {"chain_unreachable": "CHAIN_UNREACHABLE", "task_not_active": "TASK_NOT_ACTIVE"}.get(
        failure.name, "UNKNOWN"
    )
