"""What people type and click in Slack."""
