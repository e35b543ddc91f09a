"""What SCONE_VERSION=1 prints: the settings as SCONE 5.8 orders them, and what this runtime is."""

from collections.abc import Mapping

from workflows.localnet.runtime.layout import VERSION, settings_from_env

WARNING = (
    "[SCONE|WARN] src/enclave/dispatch.c:136:print_runtime_info(): Application runs in SGX simulation mode. "
    "SIMULATED: its memory can be read by anyone on this machine. This is not secure!\n"
)
_TUNING = (
    ("SCONE_QUEUES", "4"),
    ("SCONE_SLOTS", "256"),
    ("SCONE_SIGPIPE", "0"),
    ("SCONE_MMAP32BIT", "0"),
    ("SCONE_SSPINS", "100"),
    ("SCONE_SSLEEP", "4000"),
    ("SCONE_CONFIG", "/etc/sgx-musl.conf"),
)
_DLOPEN = ("no", "yes (protected)", "yes (unprotected)")
_YES = ("no", "yes")


def settings(env: "Mapping[str, str]", mrenclave: str) -> str:
    """The lines on stdout. Values that this runtime does not use are shown as they were set."""
    used = settings_from_env(env)
    lines = [f"{name}={env.get(name) or default}" for name, default in _TUNING]
    lines += [
        f"SCONE_TCS={used.tcs}",
        f"SCONE_LOG={env.get('SCONE_LOG') or 'WARNING'}",
        f"SCONE_HEAP={used.heap}",
        f"SCONE_STACK={used.stack}",
        f"SCONE_ESPINS={env.get('SCONE_ESPINS') or '10000'}",
        "SCONE_MODE=sim",
        f"SCONE_ALLOW_DLOPEN={_DLOPEN[used.dlopen]}",
        f"SCONE_MPROTECT={_YES[env.get('SCONE_MPROTECT') == '1']}",
        f"SCONE_FORK={_YES[used.fork]}",
        f"SCONE_FORK_OS={env.get('SCONE_FORK_OS') or '0'}",
        "",
        f"SCONE_CONFIG_ID: {env.get('SCONE_CONFIG_ID') or '<not specified>'}",
        "musl version: none (SIMULATED)",
        f"SCONE version: {VERSION} (SIMULATED)",
        f"Enclave hash: {mrenclave}",
    ]
    return "\n".join(lines) + "\n"
