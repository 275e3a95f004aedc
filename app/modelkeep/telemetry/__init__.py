"""What operators see: logs without secrets, metrics, traces."""
