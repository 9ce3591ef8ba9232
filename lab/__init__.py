"""A Slack, a vCenter and hosts for one laptop, speaking the real protocols."""
