"""Adapters as other programs take them: one file a format."""
