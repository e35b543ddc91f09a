"""The user's side of secrets: what kinds there are, what was pushed from here, and who can read what."""
