"""The line to Slack: one socket, one channel, kept within rates and watched."""
