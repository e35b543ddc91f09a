"""Will it work? Everything about a request that chain and SMS can tell before the money is locked.

Each check names the error that it predicts (reference: pre-flight rules). A task that fails inside the TEE
leaves its payer without any result, so these questions are worth their round trips.
"""

from __future__ import annotations

from collections.abc import Iterator

from workflows.core.failure import Failed
from workflows.core.text import clean, shorten, size
from workflows.iexec import cost, matching, params, reverts, tags
from workflows.iexec.hub import Hub
from workflows.iexec.ids import ZERO_ADDRESS
from workflows.iexec.matching import Orders
from workflows.iexec.params import Params
from workflows.iexec.plan import GENERATION, Check, Enclave, Plan, Sms
from workflows.iexec.preflight_sms import sms_checks
from workflows.iexec.records import App, Dataset

ESCROW = "IexecEscrow: Transfer amount exceeds balance"

__all__ = ["Check", "Enclave", "Orders", "Plan", "Sms", "check"]


def check(plan: Plan, hub: Hub, sms: Sms | None = None) -> list[Check]:
    """All checks that can be decided, in the order in which the errors would come.

    `sms` None leaves out what only an SMS knows. Unavailable when the chain does not answer; an SMS that
    does not answer is a failed check.
    """
    checks = [*_matching(plan, hub), *_funds(plan, hub)]
    app = hub.app(plan.orders.app.app)
    dataset = hub.dataset(plan.orders.dataset.dataset) if plan.orders.has_dataset else None
    wanted = params.parse(plan.orders.request.params)
    checks += [*_time(plan, hub), *_params(plan, wanted), *_objects(app, dataset)]
    if tags.has_tee(plan.orders.tag):
        checks += _tee(plan, app)
        if sms is not None:
            checks += sms_checks(plan, wanted, sms)
    return checks


def _matching(plan: Plan, hub: Hub) -> Iterator[Check]:
    for condition in matching.conditions(hub, plan.orders, plan.signers):
        predicts = f"iExecV5-matchOrders-{condition.code}"
        reason = None if condition.ok else reverts.explain(predicts)
        hint = reason.hint if reason else ""
        yield Check(f"match {condition.code}", condition.ok, condition.text, predicts, hint)


def _funds(plan: Plan, hub: Hub) -> Iterator[Check]:
    orders = plan.orders
    if (category := hub.category(orders.request.category)) is None:
        return
    volume = max(1, matching.remaining(hub, orders))
    bill = cost.of_orders(orders.app, orders.dataset, orders.workerpool, orders.request, category, volume)
    requester = orders.request.requester
    stake = hub.account_of(requester).stake
    short = bill.total - stake
    hint = ""
    if short > 0:
        inside = hub.wallet_balance(requester)
        hint = f"Deposit {cost.rlc(short)} more; the wallet holds {cost.rlc(inside)}."
    text = f"requester's escrow holds {cost.rlc(stake)} free, the deal locks {cost.rlc(bill.total)}"
    yield Check("requester stake", short <= 0, text, ESCROW, hint)
    if not hub.is_registered("workerpool", orders.workerpool.workerpool):
        return
    owner = hub.owner(orders.workerpool.workerpool)
    stake = hub.account_of(owner).stake
    needed = bill.pool_stake + (bill.total if owner == requester else 0)
    yield Check(
        "workerpool stake",
        needed <= stake,
        f"pool owner's escrow holds {cost.rlc(stake)} free, the deal locks {cost.rlc(needed)}",
        ESCROW,
        "" if needed <= stake else "Choose another workerpool order.",
    )


def _time(plan: Plan, hub: Hub) -> Iterator[Check]:
    category = hub.category(plan.orders.request.category)
    if category is None or plan.measured_seconds is None:
        return
    ok = plan.measured_seconds < category.seconds
    yield Check(
        "computing time",
        ok,
        f"a local run took {plan.measured_seconds:.0f} s, the category allows {category.seconds} s",
        "APP_COMPUTE_TIMEOUT",
        "" if ok else "Choose a larger category.",
    )


def _params(plan: Plan, wanted: Params) -> Iterator[Check]:
    request = plan.orders.request
    text = request.params
    problem = ""
    if text.lstrip().startswith("{"):
        try:
            params.parse_strict(text, tee=tags.has_tee(plan.orders.tag))
        except Failed as failure:
            problem = failure.message
    yield Check(
        "parameters",
        not problem,
        problem or "parameters are what the workers read",
        "dropped or taken for arguments, without an error",
        "Correct the parameters." if problem else "",
    )
    lost = wanted.result_encryption and request.beneficiary == ZERO_ADDRESS
    if wanted.result_encryption:
        yield Check(
            "beneficiary",
            not lost,
            "nobody is named to encrypt the result for" if lost else f"result for {request.beneficiary}",
            GENERATION + "POST_COMPUTE_GET_ENCRYPTION_TOKENS_FAILED_EMPTY_BENEFICIARY_KEY",
            "Set the beneficiary." if lost else "",
        )


def _objects(app: App | None, dataset: Dataset | None) -> Iterator[Check]:
    if app is not None:
        placeholder = _placeholder(app.checksum)
        yield Check(
            "app checksum",
            not placeholder,
            f"app checksum {shorten(app.checksum)}" + (" is a placeholder" if placeholder else ""),
            "APP_IMAGE_DOWNLOAD_FAILED",
            "Deploy the app with the digest of its image." if placeholder else "",
            "warning",  # nothing on chain compares them
        )
    if dataset is None:
        return
    placeholder = _placeholder(dataset.checksum)
    yield Check(
        "dataset checksum",
        not placeholder,
        f"dataset checksum {shorten(dataset.checksum)}" + (" is a placeholder" if placeholder else ""),
        "PRE_COMPUTE_INVALID_DATASET_CHECKSUM",
        "Deploy the dataset with the SHA-256 of its encrypted file." if placeholder else "",
    )
    place = dataset.multiaddr
    ok = place.startswith(("/ipfs/", "/p2p/", "http://", "https://"))
    yield Check(
        "dataset location",
        ok,
        f"dataset at {shorten(clean(place), 60, 10)}",
        "PRE_COMPUTE_DATASET_DOWNLOAD_FAILED",
        "" if ok else "A dataset needs /ipfs/… or an http(s) URL. Deploy it again with one.",
    )


def _tee(plan: Plan, app: App | None) -> Iterator[Check]:
    orders, enclave = plan.orders, plan.enclave
    framework = tags.framework(orders.tag)
    names = ", ".join(tags.decode(orders.tag))
    yield Check(
        "TEE framework",
        framework is not None,
        f"deal tag: {names}",
        GENERATION + "EXECUTION_NOT_AUTHORIZED_NO_MATCH_ONCHAIN_TYPE",
        "" if framework else "The tag must be tee and exactly one of scone, gramine, tdx.",
    )
    if orders.has_dataset:
        bound = orders.dataset.apprestrict != ZERO_ADDRESS
        yield Check(
            "dataset for one app",
            bound,
            "dataset order is restricted to an app"
            if bound
            else "dataset order lets any app read the dataset",
            "no error: another app could use it",
            "" if bound else "Sign a dataset order with the app as restriction.",
            "warning",
        )
    if framework == "tdx" or app is None:
        return
    if not app.mrenclave or enclave is None:
        yield Check(
            "fingerprint",
            bool(app.mrenclave),
            "the app is registered with a fingerprint" if app.mrenclave else "the app has no fingerprint",
            "PRE_COMPUTE_MISSING_ENCLAVE_CONFIGURATION",
            "" if app.mrenclave else "Deploy the app with its fingerprint.",
        )
        return
    yield Check(
        "fingerprint",
        enclave.problem is None,
        clean(enclave.problem or "the app's fingerprint is complete"),
        GENERATION + "APP_COMPUTE_INVALID_ENCLAVE_CONFIG",
        "Build, measure and deploy the app again: a registered app cannot be changed."
        if enclave.problem
        else "",
    )
    if enclave.problem is not None:
        return
    old = enclave.version is None
    if old and framework == "scone":
        yield Check(
            "fingerprint form",
            plan.old_forms,
            "the fingerprint is of an old form, FSPF_KEY|FSPF_TAG|MRENCLAVE",
            GENERATION + "APP_COMPUTE_NO_ENCLAVE_CONFIG",
            "" if plan.old_forms else "This network's SMS knows only the JSON form: deploy with --form json.",
        )
    same = framework is None or framework == enclave.framework.lower()
    yield Check(
        "app framework",
        same,
        f"deal tag says {framework}, the app's fingerprint {clean(enclave.framework)}",
        "Tag mismatch the TEE framework specified by app",
        "" if same else "Sign the orders with the app's framework.",
    )
    if enclave.heap is not None and plan.max_heap is not None:
        fits = enclave.heap <= plan.max_heap
        yield Check(
            "heap",
            fits,
            f"app's heap {size(enclave.heap)}, workers allow {size(plan.max_heap)}",
            "PRE_COMPUTE_INVALID_ENCLAVE_HEAP_CONFIGURATION",
            "" if fits else "Build with a smaller heap and deploy again.",
        )


def _placeholder(checksum: str) -> bool:
    """Whether a checksum repeats one byte, as a template's or a zero does."""
    return len({checksum[i : i + 2] for i in range(2, 66, 2)}) == 1
