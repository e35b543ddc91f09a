"""What SCONE is to us: catalogue, Dockerfiles, printouts, fingerprints, sessions, records of measurements."""
