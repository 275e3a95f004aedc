"""What an operator runs: serve, dev, init, sweep, check, iam-policy."""
