"""The core of creamtea: everything that is not the screen."""
