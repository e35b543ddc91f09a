"""Give the secrets to the Secret Management Service."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from workflows.core.events import Asked, Noted, TaskChanged
from workflows.core.failure import Cancelled, Failed, Missing
from workflows.core.fields import Field
from workflows.core.files import create_private, private_dir, write_atomic
from workflows.core.step import Context, Done, Step, Work
from workflows.steps import world
from workflows.steps.encrypt_dataset import key_file


def _numbered(value: Any) -> str:
    number, equals, file = str(value).partition("=")
    if not equals or not number.isdigit() or int(number) < 1:
        raise ValueError(f"{value} is not N=FILE with N from 1")
    if not Path(file).expanduser().is_file():
        raise ValueError(f"there is no file {file}")
    return str(value)


def _file(value: Any) -> str:
    if not Path(str(value)).is_file():
        raise ValueError(f"there is no file {value}")
    return str(value)


@dataclass(frozen=True)
class Secret:
    """One thing to push: `there` asks the SMS, `push` sends it; `forever` when it can never be changed."""

    name: str
    title: str
    there: Callable[[], bool]
    push: Callable[[], None]
    forever: bool = True


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
            "app_secret_file", "App developer secret", "path", required=False, metavar="FILE", check=_file,
            help="one per app, for ever; the app reads IEXEC_APP_DEVELOPER_SECRET",
        ),
        Field(
            "requester_secret", "Requester secrets", many=True, required=False, metavar="N=FILE", check=_numbered,
            help="one a line; the app reads IEXEC_REQUESTER_SECRET_N",
        ),
        Field(
            "encrypt_result", "Encrypt the result", "confirm", default=True, manifest="encrypt_result",
            help="only the owner of the private key, made here, can read the result",
        ),
        Field(
            "passphrase_file", "Passphrase file", "path", required=False, metavar="FILE", check=_file,
            when=lambda ctx: not world.entry(ctx).simulated,
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
        if ctx["encrypt_result"] and not _whole(ctx):
            return None
        if all(secret.there() for secret in plan) and _same_app_secret(ctx) is not False:
            because = "the SMS has them all already" if plan else "there is nothing to push"
            return Done({"pushed": [secret.name for secret in plan]}, because)
        return None

    def run(self, ctx: Context) -> Work:
        for file in (ctx["app_secret_file"], *_files(ctx).values()):
            if file:
                world.keep_out(ctx, Path(str(file)))
        yield from world.unlock(ctx)
        if ctx["encrypt_result"] and not _whole(ctx):
            yield from self._make_key(ctx)
        plan = self._plan(ctx)
        missing = [secret for secret in plan if not secret.there()]
        if _same_app_secret(ctx) is False:
            raise Failed(
                f"{ctx['app_secret_file']} is not the developer secret that this app has for ever",
                "give the first one again, or leave it out; an app that was changed is another one, and gets its own",
                name="app_secret_differs",
            )
        for secret in missing:
            how = (
                "for ever: it can never be changed or deleted"
                if secret.forever
                else "it can be replaced later"
            )
            yield Noted(text=f"{secret.title}: {how}", level="warning" if secret.forever else "info")
        if missing:
            network = world.entry(ctx).name
            question = f"Push {len(missing)} secret{'s' if len(missing) > 1 else ''} to the SMS of {network}?"
            agreed = yield Asked(field="push", question=question, kind="confirm")
            if not agreed:
                raise Cancelled(
                    "nothing was pushed", "the app and dataset are registered; go on later with resume"
                )
        for secret in missing:
            yield TaskChanged(task=secret.name, title=secret.title, state="running")
            secret.push()
            yield TaskChanged(task=secret.name, title=secret.title, state="done", detail="pushed")
        return {"pushed": [secret.name for secret in plan]}

    def _plan(self, ctx: Context) -> list[Secret]:
        return list(_plan(ctx))

    def _make_key(self, ctx: Context) -> Any:
        from workflows.iexec import keys

        address = world.address(ctx)
        passphrase: str | None = None
        if not world.entry(ctx).simulated:
            passphrase = yield from world.passphrase(
                ctx, "a passphrase for the key that opens your results", new=True
            )
        yield TaskChanged(task="key", title="make a key pair for results (RSA 4096)", state="running")
        pair = keys.create(_key_folder(ctx), address, passphrase)
        yield TaskChanged(task="key", title="make a key pair for results (RSA 4096)", state="done")
        yield Noted(text=f"the private key is {pair.private}: without it no result can be read")


def _plan(ctx: Context) -> Iterator[Secret]:
    from workflows.iexec import dataset, keys

    asked = partial(world.sms, ctx, sign=False)  # asking takes no wallet
    address = world.address(ctx)
    registered = ctx.outputs.get("encrypt_dataset", {}).get("dataset")
    if registered:
        yield Secret(
            "dataset key", f"key of dataset {registered}",
            lambda: asked().has_dataset_key(registered),
            lambda: world.sms(ctx).push_dataset_key(registered, dataset.read_key(key_file(ctx))),
        )  # fmt: skip
    app = ctx.outputs["deploy_app"]["app"]
    if ctx["app_secret_file"]:
        yield Secret(
            "app secret", "app developer secret",
            lambda: asked().has_app_secret(app),
            lambda: _push_app_secret(ctx, app),
        )  # fmt: skip
    for number, name in secret_names(ctx).items():
        yield _requester(ctx, number, name, address)
    if ctx["encrypt_result"]:
        yield Secret(
            "result key", "public key that encrypts results (one for a wallet)",
            lambda: asked().has_result_key(address) and _pushed(ctx) == _commitment(ctx),
            lambda: _push_result_key(ctx, keys.sms_value(_pair(ctx))),
            forever=False,
        )  # fmt: skip


def _push_app_secret(ctx: Context, app: str) -> None:
    """The mark is kept first: a push that was cut off may have arrived, and what is there stays for ever."""
    value = _read(ctx, str(ctx["app_secret_file"]))
    write_atomic(_app_secret_mark(ctx, app), _mark(ctx, value) + "\n")
    world.sms(ctx).push_app_secret(app, value)


def _same_app_secret(ctx: Context) -> bool | None:
    """Whether the app's secret is the one that was pushed from here; None where none is given, or nobody knows."""
    app = str(ctx.outputs["deploy_app"]["app"])
    if not ctx["app_secret_file"] or not world.sms(ctx, sign=False).has_app_secret(app):
        return None
    try:
        pushed = _app_secret_mark(ctx, app).read_text().strip()
    except FileNotFoundError:
        return None
    return pushed == _mark(ctx, _read(ctx, str(ctx["app_secret_file"])))


def _app_secret_mark(ctx: Context, app: str) -> Path:
    return private_dir(ctx.state / "keys") / f"app-secret.{world.entry(ctx).name}.{app}"


def _mark(ctx: Context, value: str) -> str:
    """What tells one secret from another without saying it, under a key of this project's own."""
    return hmac.new(_commitment_key(ctx), value.encode(), hashlib.sha256).hexdigest()


def _requester(ctx: Context, number: int, name: str, address: str) -> Secret:
    return Secret(
        f"requester secret {number}", f"requester secret {number} ({name})",
        lambda: world.sms(ctx, sign=False).has_requester_secret(address, name),
        lambda: world.sms(ctx).push_requester_secret(name, _read(ctx, _files(ctx)[number])),
    )  # fmt: skip


def _files(ctx: Context) -> dict[int, str]:
    pairs = [str(item).partition("=") for item in ctx["requester_secret"] or ()]
    return {int(number): file for number, _, file in pairs}


def secret_names(ctx: Context) -> dict[int, str]:
    """Number → name in the SMS. The name follows from the value under a key of this project's own, because a
    name can never get another value."""
    return {
        number: f"creamtea-{number}-{_mark(ctx, _read(ctx, file))[:12]}"
        for number, file in _files(ctx).items()
    }


def _commitment_key(ctx: Context) -> bytes:
    path = private_dir(ctx.state / "keys") / "commitment.key"
    try:
        create_private(path, secrets.token_bytes(32))
    except FileExistsError:
        pass
    return path.read_bytes()


def _read(ctx: Context, file: str) -> str:
    from workflows.iexec.sms_answers import MAX_SIZE

    try:
        with Path(file).expanduser().open("rb") as source:
            raw = source.read(MAX_SIZE + 3)  # a line end is not counted
        value = raw.decode(errors="strict" if len(raw) <= MAX_SIZE + 2 else "replace").rstrip("\r\n")
    except OSError as error:
        raise Missing(f"{file} cannot be read: {error.strerror}", "check the path and its mode") from None
    except UnicodeDecodeError:
        raise Missing(f"{file} is not UTF-8 text", "an SMS keeps text: encode it, in base64 say") from None
    size = len(value.encode())
    if not 0 < size <= MAX_SIZE:
        raise Missing(
            f"{file} holds {'nothing' if not size else f'more than {MAX_SIZE} bytes'}",
            f"a secret has 1 to {MAX_SIZE} bytes", name="secret_size",
        )  # fmt: skip
    if "\0" in value:
        raise Missing(
            f"{file} holds a zero byte, which no environment variable can",
            "an app gets its secrets in its environment: encode it, in base64 say", name="secret_zero_byte",
        )  # fmt: skip
    return ctx.hide(value)


def _key_folder(ctx: Context) -> Path:
    """The SMS keeps one result key for a wallet, so all projects of a person share the pair."""
    return private_dir(world.user_state(ctx) / "beneficiary")


def _commitment(ctx: Context) -> str:
    return hashlib.sha256(_pair(ctx).public.read_bytes()).hexdigest()


def _pushed(ctx: Context) -> str | None:
    """The hash of the public key that was pushed last, as far as this machine knows."""
    try:
        return (_key_folder(ctx) / f"{world.address(ctx)}.pushed").read_text().strip()
    except OSError:
        return None


def _push_result_key(ctx: Context, value: str) -> None:
    world.sms(ctx).push_result_key(value, replace=True)
    write_atomic(_key_folder(ctx) / f"{world.address(ctx)}.pushed", _commitment(ctx) + "\n")


def result_key(ctx: Context) -> Any:
    """The key pair that results are encrypted for, None when it is not made yet."""
    from workflows.iexec import keys

    return keys.find(_key_folder(ctx), world.address(ctx))


def _whole(ctx: Context) -> bool:
    """Whether both halves of the pair are there: a kill may have come between them."""
    pair = result_key(ctx)
    return pair is not None and pair.public.is_file()


def _pair(ctx: Context) -> Any:
    pair = result_key(ctx)
    if pair is None:
        raise Missing("there is no key pair for results", "run the secrets step without --no-encrypt-result")
    return pair
