"""The embedded network: real servers on loopback that speak the real protocols; SGX and SCONE are SIMULATED."""
