"""Pre-compute and post-compute: the programs around the app, each an enclave of its own (SIMULATED)."""
