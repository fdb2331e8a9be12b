"""Reference and prompt to tokens."""
