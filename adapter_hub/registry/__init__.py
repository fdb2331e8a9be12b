"""The registry: find, read and edit ``registry.toml`` and the version folders beside it."""
