"""What is not a step: one file each, found by being here."""
