"""The embedded network: real servers on loopback that speak the real protocols; SGX is SIMULATED."""
