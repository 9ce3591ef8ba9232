"""What Slack is told: when, in which words, and once; `progress.py` sends it."""
