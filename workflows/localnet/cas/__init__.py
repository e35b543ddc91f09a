"""The CAS of the localnet: keeps sessions, checks SIMULATED quotes, gives what a session names."""
