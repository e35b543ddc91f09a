"""Events, steps, the engine that runs them, and the state they leave; no domain word in here."""
