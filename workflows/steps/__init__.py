"""The steps: one file each, found by being here."""
