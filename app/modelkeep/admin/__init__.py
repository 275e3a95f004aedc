"""What an operator runs: serve, dev, init, sweep, check, migrate, iam-policy."""
