"""``doctor``: what a person would be asked in a bug report, looked at and judged."""
