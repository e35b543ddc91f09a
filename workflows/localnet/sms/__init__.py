"""The Secret Management Service of the localnet: iExec's REST surface, decisions taken from the chain."""
