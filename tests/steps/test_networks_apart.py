"""Simulated and live stay apart: clients, wallets, fingerprints, and what earlier steps left."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.steps.driven import drive
from workflows.core.failure import Failed, Missing
from workflows.core.step import Context
from workflows.steps import clients, signing
from workflows.steps.deploy_app import DeployApp
from workflows.steps.network import Network

pytestmark = pytest.mark.chain
Begin = Callable[[], Context]
Describe = Callable[[str, bool], None]


def test_clients_of_one_network_never_serve_another(begin: Begin, describe: Describe) -> None:
    """Back to the network step: what was made for the live network must not sign for the simulated one."""
    describe("other", True)
    ctx = begin()
    first = (clients.poco(ctx), clients.poco(ctx, sign=False), clients.sms(ctx))
    ctx.values["network"] = "other"
    second = (clients.poco(ctx), clients.poco(ctx, sign=False), clients.sms(ctx))
    assert not set(map(id, first)) & set(map(id, second))


def test_an_unsigned_client_never_stands_for_a_signing_one(begin: Begin) -> None:
    ctx = begin()
    assert clients.sms(ctx, sign=False) is not clients.sms(ctx)
    assert clients.poco(ctx, sign=False) is not clients.poco(ctx)


def test_the_public_key_of_the_simulated_networks_signs_on_no_live_one(
    begin: Begin, describe: Describe
) -> None:
    describe("live", False)
    ctx = begin()
    public = signing.account(ctx).address
    ctx.values["network"] = "live"
    with pytest.raises(Missing) as caught:
        clients.poco(ctx)
    assert caught.value.name == "no_wallet"
    from workflows.iexec import wallet
    from workflows.localnet.genesis import account

    made = wallet.import_key(account("requester").key.hex(), "word", simulated=True, work=1 << 12)
    assert made.address == public
    password = ctx.project / "password"
    password.write_text("word\n")
    ctx.values["password_file"] = str(password)
    with pytest.raises(Failed) as refused:
        clients.poco(ctx)
    assert refused.value.name == "public_key_wallet"


def test_asking_takes_no_wallet(begin: Begin, describe: Describe) -> None:
    """A second run probes chain and SMS before anything is signed: it must not need a password for that."""
    describe("live", False)
    ctx = begin()
    ctx.values["network"] = "live"
    assert clients.poco(ctx, sign=False).chain_id() == 65535
    clients.sms(ctx, sign=False)
    with pytest.raises(Missing):
        clients.sms(ctx)


@pytest.mark.parametrize(
    ("label", "stand_in"),
    [(True, None), (False, "a stand-in"), (True, "a stand-in")],
    ids=["label", "base", "both"],
)
def test_a_simulated_fingerprint_is_registered_on_no_live_chain(
    begin: Begin, describe: Describe, label: bool, stand_in: str | None
) -> None:
    """The label of the image, or the base that it was built on: a Dockerfile may drop the label."""
    describe("live", False)
    ctx = begin()
    ctx.values["network"] = "live"
    ctx.outputs["measure"] = {"simulated": label, "image_id": "sha256:0", "fingerprint": "a|b|c"}
    ctx.outputs["base_image"] = {"stand_in": stand_in}
    with pytest.raises(Failed) as caught:
        drive(DeployApp().run(ctx))
    assert caught.value.name == "simulated"


def test_what_was_done_on_another_network_is_not_gone_on_with(begin: Begin) -> None:
    ctx = begin()
    ctx.outputs["network"] = {"name": "bellecour", "chain_id": 134, "simulated": False}
    with pytest.raises(Failed, match="done on bellecour, not on trial") as caught:
        clients.poco(ctx)
    assert "--from network" in caught.value.hint
    assert drive(Network().run(ctx))["name"] == "trial"  # the step itself begins anew
