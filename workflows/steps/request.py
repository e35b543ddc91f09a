"""Request a run: sign the orders and match them on the chain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from workflows.core.events import Asked, Noted
from workflows.core.failure import Cancelled, Failed, Missing
from workflows.core.fields import Choice, Field
from workflows.core.step import Context, Done, Step, Work, digest
from workflows.core.text import shorten
from workflows.steps import chosen_network, clients, signing, transactions
from workflows.steps.push_secrets import secret_names
from workflows.steps.watch import lost

if TYPE_CHECKING:
    from workflows.iexec.matching import Orders
    from workflows.iexec.orders import WorkerpoolOrder
    from workflows.iexec.params import Params


def _categories(_: Context) -> Sequence[Choice]:
    times = (("XS", "5 min"), ("S", "20 min"), ("M", "1 h"), ("L", "3 h"), ("XL", "10 h"))
    return [
        Choice(str(number), note=f"{name}: up to {time} of computing")
        for number, (name, time) in enumerate(times)
    ]


def _amount(value: Any) -> str:
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"{value} is not an amount of RLC") from None
    if not amount.is_finite() or amount < 0 or amount.as_tuple().exponent < -9:  # type: ignore[operator]
        raise ValueError(f"{value} is not an amount of RLC: 0 or more, with at most nine decimals")
    return str(amount)


def _address(value: Any) -> str:
    from workflows.iexec import ids

    try:
        return ids.address(str(value))
    except ValueError as error:
        raise ValueError(f"{value} is no address: {error}") from None


def _arguments(value: Any) -> str:
    """As CAS will read them in the command of the session; told now, not when the task has been paid for."""
    from workflows.scone import session_model, session_secrets

    try:
        words = session_model.split(str(value))
    except ValueError:
        raise ValueError(
            "a quote is not closed: arguments are split at blanks outside of '…' and \"…\""
        ) from None
    for word in words:
        if session_model.HOST_WORD.fullmatch(word) or session_secrets.PLACEHOLDER.search(word):
            raise ValueError(f"{word:.80} is an instruction to SCONE's CAS, not an argument")
    return str(value)


def _url(value: Any) -> str:
    from workflows.iexec import params

    try:
        params.build(input_files=(value,))
    except Failed:
        raise ValueError(f"{value:.80} is not an http or https URL, without blanks") from None
    return str(value)


class Request(Step):
    """Ask for one run of the app, and pay for it.

    Four parties sign an order: the app's owner, the dataset's owner, the workerpool and you, the requester. Matching
    them on the chain makes a deal, and locks your money until the task is done or its deadline has passed. The tag
    tee+scone says that only a worker with SCONE enclaves may take it.
    """

    id = "request"
    title = "Request"
    heading = "Request a run"
    after = ("push_secrets",)
    fields = (
        Field(
            "args", "Arguments", required=False, metavar="TEXT", manifest="args", check=_arguments,
            help="public, on the chain: no secrets here",
        ),
        Field(
            "input_file", "Input files", many=True, required=False, metavar="URL", check=_url,
            help="public URLs, one a line",
        ),
        Field(
            "category", "Category", "choice", default="0", choices=_categories, manifest="category",
            help="0 (up to 5 min) to 4 (up to 10 h)",
        ),
        Field(
            "workerpool", "Workerpool", required=False, check=_address, metavar="ADDRESS",
            when=lambda ctx: not chosen_network.entry(ctx).embedded, help="any pool that offers the category otherwise",
        ),
        Field(
            "max_price", "Most you pay", required=False, metavar="RLC", check=_amount,
            help="in RLC for the whole task, such as 0.5",
        ),
    )  # fmt: skip

    def command(self, ctx: Context) -> str:
        app = ctx.outputs.get("deploy_app", {}).get("app", "APP")
        words = [f"iexec app run {app} --tag tee,scone --category {ctx['category']}"]
        dataset = ctx.outputs.get("encrypt_dataset", {}).get("dataset")
        if dataset:
            words.append(f"--dataset {dataset}")
        if ctx["args"]:
            words.append(f"--args '{ctx['args']}'")
        if ctx["encrypt_result"]:
            words.append("--encrypt-result")
        return " ".join(words)

    def done(self, ctx: Context) -> Done | None:
        if ctx.previous is None:
            return None
        outputs = ctx.previous.data["outputs"]
        if clients.poco(ctx, sign=False).view_deal(str(outputs["deal"])) is None:
            return None
        if lost(ctx, outputs):  # another try needs another deal
            return None
        return Done(
            outputs, f"deal {shorten(outputs['deal'])} was made from these very inputs; --force makes another"
        )

    def inputs(self, ctx: Context) -> dict[str, object]:
        return {
            "app": ctx.outputs["deploy_app"]["app"],
            "dataset": ctx.outputs["encrypt_dataset"]["dataset"],
            "params": self._params(ctx).to_text(),
            "values": {name: ctx[name] for name in ("category", "workerpool", "max_price")},
            "network": ctx.outputs.get("network"),
        }

    def run(self, ctx: Context) -> Work:
        yield from signing.unlock(ctx)
        inputs = digest(self.inputs(ctx))
        orders = self._taken_up(ctx, inputs)
        if orders is None:
            if ctx.previous is not None:
                yield self._again(ctx, ctx.previous.data["outputs"])
            orders = self._orders(ctx)
            yield from self._fund(ctx, orders)
            yield from self._tell(ctx, orders)
            yield from self._preflight(ctx, orders)
            agreed = yield Asked(field="request", question="Sign and request the run?", kind="confirm")
            if not agreed:
                raise Cancelled("nothing was requested", "no money is locked")
            orders = self._sign(ctx, orders)
            ctx.journal.append(
                "intent", self.id, run=ctx.run, inputs=inputs, data={"orders": _to_json(orders)}
            )
        else:
            yield Noted(text="taking up the match that was sent before the interruption")
        chain = clients.poco(ctx)
        hashes = self._hashes(ctx, orders)
        receipt = yield from transactions.transact(
            ctx, self.id, "match the orders", str(hashes["request"]),
            lambda: chain.match_orders(orders.app, orders.dataset, orders.workerpool, orders.request),
        )  # fmt: skip
        match = chain.matched(receipt)
        from workflows.iexec import ids

        task = ids.taskid(match.dealid, 0)
        yield Noted(text=f"deal {match.dealid}")
        return {"deal": match.dealid, "task": task, "cost": self._cost(ctx, orders).total, "orders": hashes}

    @staticmethod
    def _again(ctx: Context, before: Mapping[str, Any]) -> Noted:
        """Nobody pays a second time without being told."""
        deal, cause = shorten(str(before["deal"])), lost(ctx, before)
        if not cause:
            return Noted(text=f"deal {deal} was made from these inputs; this makes another")
        return Noted(
            level="warning",
            text=f"the last task with these inputs failed: {cause} (deal {deal}); another deal is made, and paid",
        )

    # Making the orders

    def _params(self, ctx: Context) -> Params:
        from workflows.iexec import params

        words = [str(ctx["args"] or "")]
        measured = ctx.outputs["measure"]
        if measured["form"] == "3":  # a fingerprint without entrypoint: the order says the command
            words.insert(0, str(measured["entrypoint"]))
        return params.build(
            args=" ".join(word for word in words if word),
            input_files=ctx["input_file"] or (),
            secrets=secret_names(ctx),
            result_encryption=bool(ctx["encrypt_result"]),
        )

    def _orders(self, ctx: Context) -> Orders:
        from workflows.iexec import market, tags
        from workflows.iexec.ids import ZERO_ADDRESS
        from workflows.iexec.matching import Orders
        from workflows.iexec.orders import NULL_DATASET_ORDER, AppOrder, DatasetOrder, RequestOrder

        me, tag, category = signing.address(ctx), tags.encode(["tee", "scone"]), int(ctx["category"])
        app = str(ctx.outputs["deploy_app"]["app"])
        dataset = ctx.outputs["encrypt_dataset"]["dataset"]
        pool = market.workerpool_order(chosen_network.network(ctx), category, tag, self._pool(ctx))
        self._afford(ctx, pool)
        # Signatures are public once matched: what is left of an order, anybody could use.
        return Orders(
            app=AppOrder(app=app, tag=tag, requesterrestrict=me),
            dataset=DatasetOrder(dataset=dataset, tag=tag, apprestrict=app, requesterrestrict=me)
            if dataset
            else NULL_DATASET_ORDER,
            workerpool=pool,
            request=RequestOrder(
                app=app, dataset=dataset or ZERO_ADDRESS, workerpool=pool.workerpool,
                workerpoolmaxprice=pool.workerpoolprice, requester=me, beneficiary=me, tag=tag, category=category,
                params=self._params(ctx).to_text(),
            ),
        )  # fmt: skip

    @staticmethod
    def _pool(ctx: Context) -> str | None:
        """The address of the chosen workerpool, else of the network's, which may go by a name there."""
        from workflows.iexec import ens

        network = chosen_network.network(ctx)
        pool = ctx["workerpool"] or network.workerpool
        if pool and network.ens and ens.is_name(pool):
            return ens.resolve(clients.poco(ctx, sign=False), network.ens, pool)
        return str(pool) if pool else None

    @staticmethod
    def _afford(ctx: Context, pool: WorkerpoolOrder) -> None:
        from workflows.iexec import cost

        if ctx["max_price"] is None and not ctx.interactive and not chosen_network.entry(ctx).simulated:
            raise Missing(
                f"the pool asks {cost.rlc(pool.workerpoolprice)} of real money, and nobody is asked here",
                "say the most you pay with --max-price",
                name="missing",
            )
        if ctx["max_price"] is not None and pool.workerpoolprice > Decimal(str(ctx["max_price"])) * cost.NRLC:
            raise Failed(
                f"the pool asks {cost.rlc(pool.workerpoolprice)}, the most you pay is {ctx['max_price']} RLC",
                "raise --max-price, or choose another --category or --workerpool",
                name="too_expensive",
            )

    def _sign(self, ctx: Context, orders: Orders) -> Orders:
        from workflows.iexec.matching import Orders

        account, domain = signing.account(ctx), clients.poco(ctx).domain()
        dataset = orders.dataset.sign_with(account, domain) if orders.has_dataset else orders.dataset
        return Orders(
            orders.app.sign_with(account, domain),
            dataset,
            orders.workerpool,
            orders.request.sign_with(account, domain),
        )

    def _hashes(self, ctx: Context, orders: Orders) -> dict[str, str | None]:
        domain = clients.poco(ctx).domain()
        return {
            "app": orders.app.hash(domain),
            "dataset": orders.dataset.hash(domain) if orders.has_dataset else None,
            "workerpool": orders.workerpool.hash(domain),
            "request": orders.request.hash(domain),
        }

    def _taken_up(self, ctx: Context, inputs: str) -> Orders | None:
        """Orders for the same inputs whose match was sent before a crash. Others bind nobody: they are signed anew."""
        sent = {key for key, _ in transactions.sent(ctx, self.id)}
        for entry in reversed(ctx.journal.pending(self.id, inputs)):
            if "orders" in entry.data:
                orders = _from_json(entry.data["orders"])
                if self._hashes(ctx, orders)["request"] in sent:
                    return orders
        return None

    # Before the signature

    def _cost(self, ctx: Context, orders: Orders) -> Any:
        from workflows.iexec import cost

        category = clients.poco(ctx, sign=False).category(orders.request.category)
        if category is None:
            raise Failed(f"there is no category {orders.request.category}", "choose another --category")
        return cost.of_orders(orders.app, orders.dataset, orders.workerpool, orders.request, category, 1)

    def _tell(self, ctx: Context, orders: Orders) -> Any:
        from workflows.iexec.cost import rlc

        bill = self._cost(ctx, orders)
        parts = " · ".join(f"{name} {rlc(amount)}" for name, amount in bill.parts)
        yield Noted(text=f"you pay      at most {rlc(bill.total)} ({parts}), locked now, spent on success")
        reads = [f"dataset {shorten(orders.dataset.dataset)}"] if orders.has_dataset else []
        if secret_names(ctx):
            reads.append(f"secrets {', '.join(map(str, secret_names(ctx)))}")
        enclave = shorten(str(ctx.outputs["measure"]["mrenclave"]), 8, 0)
        what = " and ".join(reads) or "nothing of yours"
        yield Noted(text=f"may read     {what}, inside the enclave {enclave} only")
        sealed = (
            f"encrypted for {shorten(orders.request.beneficiary)}"
            if ctx["encrypt_result"]
            else "not encrypted"
        )
        minutes = bill.final_seconds // 60
        yield Noted(
            text=f"result       {sealed}; up to {bill.compute_seconds} s of computing, deadline in {minutes} min"
        )
        if ctx["args"]:
            yield Noted(text=f"public       the arguments, on the chain: {shorten(str(ctx['args']), 120, 0)}")
        yield Noted(
            text="cannot undo  a matched deal runs; if nobody finishes it in time, the money can be claimed back"
        )

    def _preflight(self, ctx: Context, orders: Orders) -> Any:
        from workflows.iexec.plan import Enclave, Plan
        from workflows.iexec.preflight import check

        measured = ctx.outputs["measure"]
        version = "v5.9" if measured["form"] == "json" else None
        plan = Plan(
            orders,
            Enclave(version=version, heap=measured["heap"]),
            frozenset({signing.address(ctx)}),
            needs_app_secret=bool(ctx["app_secret_file"]),
        )
        checks = check(plan, clients.poco(ctx, sign=False), clients.sms(ctx, sign=False))
        good = sum(one.ok for one in checks)
        yield Noted(text=f"will it work ✓ {good} of {len(checks)} checks")
        for one in checks:
            if not one.ok:
                text = f"{one.text} ({one.predicts})" if one.predicts else one.text
                yield Noted(level="error" if one.blocks else "warning", text=text, hint=one.hint or None)
        stop = next((one for one in checks if one.blocks), None)
        if stop is not None:
            raise Failed(stop.text, stop.hint, name=stop.predicts or stop.name)

    def _fund(self, ctx: Context, orders: Orders) -> Any:
        """Move money from the wallet into the escrow when the request needs more than is there."""
        from workflows.iexec.cost import rlc

        chain = clients.poco(ctx)
        transactions.settle(ctx, self.id, "deposit")
        lacking = self._cost(ctx, orders).total - chain.account_of(orders.request.requester).stake
        if lacking <= 0:
            return
        agreed = yield Asked(
            field="deposit", question=f"Your iExec account lacks {rlc(lacking)}. Deposit it?", kind="confirm"
        )
        if not agreed:
            raise Cancelled("nothing was requested", "iexec account deposit does it by hand")
        key = f"deposit {lacking} {ctx.run}"
        yield from transactions.transact(
            ctx, self.id, f"deposit {rlc(lacking)}", key, lambda: chain.deposit(lacking)
        )


def _to_json(orders: Orders) -> dict[str, Any]:
    return {name: getattr(orders, name).to_json() for name in ("app", "dataset", "workerpool", "request")}


def _from_json(document: dict[str, Any]) -> Orders:
    from workflows.iexec.matching import Orders
    from workflows.iexec.orders import AppOrder, DatasetOrder, RequestOrder, WorkerpoolOrder

    return Orders(
        AppOrder.from_json(document["app"]),
        DatasetOrder.from_json(document["dataset"]),
        WorkerpoolOrder.from_json(document["workerpool"]),
        RequestOrder.from_json(document["request"]),
    )
