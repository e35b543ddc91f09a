"""Give the secrets to the Secret Management Service."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflows.core.events import Asked, Event, Noted, TaskChanged
from workflows.core.failure import Cancelled, Failed
from workflows.core.fields import Field
from workflows.core.files import existing, private_dir
from workflows.core.step import Context, Done, Step, Work
from workflows.core.text import plural
from workflows.steps import chosen_network, clients, keyring, project_files, signing
from workflows.steps.encrypt_dataset import key_file

if TYPE_CHECKING:
    from workflows.iexec.secrets.kinds import Secret


# Their names in the outputs; those of requesters have a number after it.
APP_SECRET, REQUESTER_SECRET = "app secret", "requester secret"


def _numbered(value: Any) -> str:
    number, equals, file = str(value).partition("=")
    if not equals or not file or not (number.isascii() and number.isdigit()) or int(number) < 1:
        raise ValueError(f"{value} is not N=FILE with N from 1")
    existing(file)
    return str(value)


@dataclass(frozen=True)
class Planned:
    """One secret of this run: its place in the SMS, `value`, which reads it when it is sent, and its own file."""

    name: str
    title: str
    place: Secret
    value: Callable[[], str]
    file: str = ""


class PushSecrets(Step):
    """Hand the keys to the service that gives them only to the right enclave.

    The Secret Management Service (SMS) keeps the dataset's key, your app's secret and your own numbered secrets. For
    every task it asks the blockchain what this task may have, and the enclave that asks must prove by remote
    attestation that it is the one that was registered. Most secrets can never be changed or deleted afterwards:
    a second push is refused.
    """

    id = "push_secrets"
    title = "Secrets"
    heading = "Give the secrets to the SMS"
    after = ("deploy_app", "encrypt_dataset")
    fields = (
        Field(
            "app_secret_file", "App developer secret", "path", required=False, metavar="FILE", check=existing,
            manifest=project_files.APART["app_secret_file"],
            help="one per app, for ever; the app reads IEXEC_APP_DEVELOPER_SECRET",
        ),
        Field(
            "requester_secret", "Requester secrets", "path", many=True, numbered=True, required=False, metavar="N=FILE",
            check=_numbered, manifest=project_files.APART["requester_secret"],
            help="one a line; the app reads IEXEC_REQUESTER_SECRET_N",
        ),
        Field(
            "encrypt_result", "Encrypt the result", "confirm", default=True, manifest="encrypt_result",
            help="only the owner of the private key, made here, can read the result",
        ),
        Field(
            "passphrase_file", "Passphrase file", "path", required=False, metavar="FILE", check=existing,
            when=lambda ctx: bool(ctx["passphrase_file"]) or not chosen_network.entry(ctx).simulated,
            help="opens the private key of the result; without one you are asked",
        ),
    )  # fmt: skip

    def command(self, ctx: Context) -> str:
        lines = []
        if ctx["dataset"]:
            lines.append("iexec dataset push-secret")
        if ctx["app_secret_file"]:
            lines.append("iexec app push-secret")
        lines += [f"iexec requester push-secret {name}" for name in secret_names(ctx).values()]
        if ctx["encrypt_result"]:
            lines.append("iexec result generate-encryption-keypair && iexec result push-encryption-key")
        return "\n".join(lines) or "# no secret"

    def inputs(self, ctx: Context) -> dict[str, object]:
        return {"plan": [secret.name for secret in self._plan(ctx)], "network": ctx.outputs.get("network")}

    def done(self, ctx: Context) -> Done | None:
        plan = self._plan(ctx)
        if ctx["encrypt_result"] and not keyring.whole(keyring.result_pair(ctx)):
            return None
        if all(_there(ctx, secret) for secret in plan) and _same_app_secret(ctx) is not False:
            return Done({"pushed": [secret.name for secret in plan]}, notes=tuple(_told(ctx, plan)))
        return None

    def mend(self, ctx: Context, done: Done) -> Iterator[Event]:
        return _forgotten(ctx)

    def run(self, ctx: Context) -> Work:
        from workflows.iexec.secrets import service, values

        for file in (ctx["app_secret_file"], *secret_files(ctx).values()):
            if file:
                project_files.keep_out(ctx, Path(str(file)))
        yield from signing.unlock(ctx)
        if ctx["encrypt_result"] and not keyring.whole(keyring.result_pair(ctx)):
            yield from keyring.make_pair(ctx)
        plan = self._plan(ctx)
        missing = [secret for secret in plan if not _there(ctx, secret)]
        if _same_app_secret(ctx) is False:
            raise Failed(
                f"{ctx['app_secret_file']} is not the developer secret that this app has for ever",
                "give the first one again, or leave it out: an empty field, --app-secret-file ''; an app that was "
                "changed is another one, and gets its own",
                name="app_secret_differs",
            )
        yield from _forgotten(ctx)
        yield from _told(ctx, plan)
        for secret in missing:
            forever = secret.place.kind.forever
            how = "for ever: it can never be changed or deleted" if forever else "it can be replaced later"
            source = f", from {secret.file}" if secret.file else ""
            yield Noted(text=f"{secret.title}{source}: {how}", level="warning" if forever else "info")
            for oddity in values.oddities(secret.value()):
                yield Noted(text=f"look at {secret.title}: {oddity}, and is sent as it is", level="warning")
        if missing:
            network = chosen_network.entry(ctx).name
            question = f"Push {plural(len(missing), 'secret')} to the SMS of {network}?"
            agreed = yield Asked(field="push", question=question, kind="confirm")
            if not agreed:
                raise Cancelled(
                    "nothing was pushed", "the app and dataset are registered; go on later with resume"
                )
        for secret in missing:
            yield TaskChanged(task=secret.name, title=secret.title, state="running")
            service.push(clients.sms(ctx), keyring.ledger(ctx), secret.place, secret.value(), replace=True)
            yield TaskChanged(task=secret.name, title=secret.title, state="done", detail="pushed")
        return {"pushed": [secret.name for secret in plan]}

    def _plan(self, ctx: Context) -> list[Planned]:
        return list(_plan(ctx))


def _plan(ctx: Context) -> Iterator[Planned]:
    from workflows.iexec import dataset, keys
    from workflows.iexec.secrets.kinds import KINDS, secret

    registered = ctx.outputs.get("encrypt_dataset", {}).get("dataset")
    if registered:
        yield Planned(
            "dataset key", f"key of dataset {registered}", secret(KINDS["dataset-key"], registered),
            lambda: dataset.key_text(dataset.read_key(key_file(ctx))),
        )  # fmt: skip
    if ctx["app_secret_file"]:
        yield Planned(
            APP_SECRET, "app developer secret", secret(KINDS["app-secret"], ctx.outputs["deploy_app"]["app"]),
            lambda: _read(ctx, str(ctx["app_secret_file"])), str(ctx["app_secret_file"]),
        )  # fmt: skip
    for number, name in secret_names(ctx).items():
        yield Planned(
            f"{REQUESTER_SECRET} {number}", f"requester secret {number} ({name})",
            secret(KINDS["requester-secret"], signing.address(ctx), name),
            partial(_read, ctx, secret_files(ctx)[number]), secret_files(ctx)[number],
        )  # fmt: skip
    if ctx["encrypt_result"]:
        yield Planned(
            "result key", "public key that encrypts results (one for a wallet)", keyring.result_place(ctx),
            lambda: keys.sms_value(keyring.needed_pair(ctx)),
        )  # fmt: skip


def _told(ctx: Context, plan: list[Planned]) -> Iterator[Noted]:
    """What the run gets, and a warning of what the last request of this project got and this one will not."""
    from workflows.iexec.secrets import service
    from workflows.iexec.secrets.kinds import KINDS, secret

    gets = [one.name for one in plan]
    before = _of_last_request(ctx)
    if APP_SECRET in before and APP_SECRET not in gets:
        # It is the app's own, and needs no file while the app is the same.
        place = secret(KINDS["app-secret"], ctx.outputs["deploy_app"]["app"])
        if service.is_set(clients.sms(ctx, sign=False), place):
            gets.append(APP_SECRET)
    yield Noted(text=f"this run gets: {', '.join(gets)}" if gets else "this run gets no secret")
    lost = [name for name in before if name not in gets and name.startswith((APP_SECRET, REQUESTER_SECRET))]
    if lost:
        flags = [
            "--app-secret-file FILE" if one == APP_SECRET else "--requester-secret N=FILE" for one in lost
        ]
        yield Noted(
            level="warning", text=f"the last request had {' and '.join(lost)}, and this run has not",
            hint="name the file again in the form of Secrets, unless the app can do without; or with "
            + " and ".join(dict.fromkeys(flags)),
        )  # fmt: skip


def _forgotten(ctx: Context) -> Iterator[Noted]:
    """Write down which files hold secrets: no image gets them, also when nobody names them any more."""
    named = project_files.inside(ctx, (ctx["app_secret_file"] or "", *secret_files(ctx).values()))
    before = project_files.secret_before(ctx)
    if new := [file for file in named if file not in before]:
        ctx.journal.append("intent", PushSecrets.id, run=ctx.run, data={"files": new})
    left = [file for file in before if file not in named and (ctx.project / file).exists()]
    if left:
        yield Noted(
            text=f"{', '.join(left)} held a secret of this project: what did stays out of the app's images",
            hint="move it away if nobody needs it",
        )


def _of_last_request(ctx: Context) -> list[str]:
    """The names of the secrets that were there for the last request of this project."""
    request = ctx.journal.last("done", "request")
    pushed = [
        entry.data.get("outputs", {}).get("pushed", [])
        for entry in ctx.journal.every("done", "push_secrets")
        if request is not None and entry.at <= request.at
    ]
    return [str(name) for name in pushed[-1]] if pushed else []


def _there(ctx: Context, planned: Planned) -> bool:
    """Whether the SMS has it; of what can be replaced, whether it is this very value, as far as is known here."""
    from workflows.iexec.secrets import service

    sms = clients.sms(ctx, sign=False)  # asking takes no wallet
    if planned.place.kind.forever or not service.is_set(sms, planned.place):
        return service.is_set(sms, planned.place)
    keyring.adopt(ctx)
    return keyring.ledger(ctx).holds(sms.url, planned.place, planned.value())


def _same_app_secret(ctx: Context) -> bool | None:
    """Whether the app's secret is the one that was pushed from here; None where none is given, or nobody knows."""
    planned = next((one for one in _plan(ctx) if one.place.kind.id == "app-secret"), None)
    if planned is None or not _there(ctx, planned):
        return None
    book = keyring.ledger(ctx)
    last = book.last(clients.sms(ctx, sign=False).url, planned.place)
    return None if last is None else last.commitment == book.commitment(planned.place, planned.value())


def secret_files(ctx: Context) -> dict[int, str]:
    """Number → file with the value."""
    pairs = [str(item).partition("=") for item in ctx["requester_secret"] or ()]
    return {int(number): file for number, _, file in pairs}


def secret_names(ctx: Context) -> dict[int, str]:
    """Number → name in the SMS. The name follows from the value under a key of this project's own, because a
    name can never get another value."""
    from workflows.iexec.secrets.ledger import private_key

    files = secret_files(ctx)
    if not files:
        return {}
    key = private_key(private_dir(ctx.state / "keys") / "commitment.key")
    names = {}
    for number, file in files.items():
        mark = hmac.new(key, _read(ctx, file).encode(), hashlib.sha256).hexdigest()[:12]
        names[number] = f"creamtea-{number}-{mark}"
    return names


def _read(ctx: Context, file: str) -> str:
    from workflows.iexec.secrets import values

    return ctx.hide(values.read(Path(file)))
