"""A self-hosted Hub for adapters: storage in a folder, and the Hub's HTTP API over it."""
