"""Recipe and rows to trained files."""
