"""Adapters of one base composed into one."""
