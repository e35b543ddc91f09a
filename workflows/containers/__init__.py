"""The container engine: endpoint, images, builds, registries and containers, through its API."""
