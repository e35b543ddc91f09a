# creamtea. `make demo` sets up what it needs and runs the main job; `make test` runs every test.
BIN := .venv/bin
RUN := .ci/with-engine $(BIN)

.PHONY: demo test check bench fuzz sms-conformance setup lock

demo: setup
	@if [ -t 0 ] && [ -t 1 ]; then exec $(RUN)/creamtea run demo; fi; \
	exec $(RUN)/creamtea run demo --plain --yes </dev/null

# In CI a missing engine is a failure, not a reason to skip. More options: make test ARGS="-k chain"
test: setup
	@.ci/test-tools
	$(if $(CI),CREAMTEA_REQUIRE_ENGINE=1) $(RUN)/python -m pytest -n auto --dist loadfile $(ARGS)

check: .venv/.ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup
	$(RUN)/python -m tests.bench

# The cases of the SMS against any other, as docs/sms.md says: make sms-conformance URL=http://127.0.0.1:13300
# Without a URL, against that of a localnet of its own.
sms-conformance: $(if $(URL),.venv/.ready,setup)
	SMS_URL=$(URL) SMS_RPC=$(RPC) SMS_HUB=$(HUB) SMS_WALLET=$(WALLET) SMS_ADMIN_KEY_FILE=$(ADMIN_KEY_FILE) \
		$(if $(URL),,.ci/with-engine) $(BIN)/python -m tests.conformance.sms $(ARGS)

# Every parser against a coverage-guided fuzzer, so many seconds each: make fuzz FUZZ_SECONDS=600
fuzz: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'atheris>=2.3'
	$(BIN)/python -m tests.fuzz --seconds $(or $(FUZZ_SECONDS),60)

# Everything that the program needs on this machine; does nothing the second time.
setup: .venv/.ready
	@$(BIN)/python -m workflows.localnet.toolchain
	@.ci/engine

.venv/.ready: requirements.lock pyproject.toml
	@.ci/venv

# Needs uv (pip install uv). The lock names no index: yours is used.
lock:
	uv pip compile --quiet --universal --python-version 3.10 --extra dev --generate-hashes \
		--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
		pyproject.toml -o requirements.lock
