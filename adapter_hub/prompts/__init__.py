"""Rows and prompts to token ids and loss masks: the one place, for training and for run."""
