"""The pre-flight questions that only the SMS can answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from workflows.core.failure import Unavailable
from workflows.core.text import clean
from workflows.iexec import tags
from workflows.iexec.ids import ZERO_ADDRESS
from workflows.iexec.params import Params
from workflows.iexec.plan import GENERATION, Check, Plan, Sms


def sms_checks(plan: Plan, wanted: Params, sms: Sms) -> Iterator[Check]:
    """One check per question; the first that gets no answer is the last."""
    orders, enclave = plan.orders, plan.enclave
    request = orders.request
    framework = tags.framework(orders.tag)

    def framework_matches() -> Check:
        served = sms.framework().lower()
        ok = framework is None or served == framework
        text = f"the SMS serves {clean(served)}, the deal asks for {framework}"
        hint = "" if ok else "Choose the network's SMS for this framework."
        return Check("SMS framework", ok, text, "GET_TEE_SERVICES_CONFIGURATION_FAILED", hint)

    def version_served() -> Check:
        version = enclave.version if enclave else None
        ok = version is not None and sms.properties(version) is not None
        hint = "" if ok else "Build with a version that it serves and deploy again."
        return Check(
            "framework version", ok, f"the SMS {'serves' if ok else 'does not serve'} {clean(str(version))}",
            GENERATION + "APP_COMPUTE_INVALID_ENCLAVE_CONFIG", hint,
        )  # fmt: skip

    def dataset_key() -> Check:
        address = orders.dataset.dataset
        ok = sms.has_dataset_key(address)
        hint = "" if ok else "Its owner pushes it: creamtea secrets push."
        text = f"the SMS {'has' if ok else 'has no'} key of dataset {address}"
        predicts = GENERATION + "PRE_COMPUTE_GET_DATASET_SECRET_FAILED"
        return Check("dataset key", ok, text, predicts, hint)

    def result_key() -> Check:
        ok = sms.has_result_key(request.beneficiary)
        hint = "" if ok else "Make a key pair and push the public key."
        text = f"the SMS {'has' if ok else 'has no'} result key of {request.beneficiary}"
        predicts = GENERATION + "POST_COMPUTE_GET_ENCRYPTION_TOKENS_FAILED_EMPTY_BENEFICIARY_KEY"
        return Check("result key", ok, text, predicts, hint)

    def app_secret() -> Check:
        ok = sms.has_app_secret(orders.app.app)
        hint = "" if ok else "The app's owner pushes it: creamtea secrets push."
        text = f"the SMS {'has' if ok else 'has no'} developer secret of app {orders.app.app}"
        return Check("app secret", ok, text, "no error: the app runs without the variable", hint)

    def requester_secret(number: int, name: str) -> Check:
        ok = sms.has_requester_secret(request.requester, name)
        hint = "" if ok else "Push it before the request: creamtea secrets push."
        text = f"secret {number}, {clean(name)!r}, is {'' if ok else 'not '}in the SMS"
        predicts = "no error: the app runs without the variable"
        return Check(f"requester secret {number}", ok, text, predicts, hint)

    questions: list[tuple[str, Callable[[], Check]]] = [("SMS framework", framework_matches)]
    if enclave is not None and enclave.version is not None and enclave.problem is None:
        questions.append(("framework version", version_served))
    if orders.has_dataset:
        questions.append(("dataset key", dataset_key))
    if wanted.result_encryption and request.beneficiary != ZERO_ADDRESS:
        questions.append(("result key", result_key))
    if plan.needs_app_secret:
        questions.append(("app secret", app_secret))
    for number, name in sorted(wanted.secrets.items()):
        questions.append((f"requester secret {number}", lambda n=number, s=name: requester_secret(n, s)))  # type: ignore[misc]
    for name, question in questions:
        try:
            yield question()
        except Unavailable as failure:
            yield Check(name, False, failure.message, "UNKNOWN_SMS", failure.hint)
            return
