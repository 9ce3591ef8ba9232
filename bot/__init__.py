"""The application: config, roles, ledger, runs, progress, clock, command line."""
