"""Quarterdeck measured beside what a user would have instead; `bench.py` makes the reports."""
