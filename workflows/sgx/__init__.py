"""Intel SGX facts: how an enclave is measured, signed and quoted."""
