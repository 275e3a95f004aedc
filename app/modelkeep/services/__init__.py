"""What a caller can do: the order of steps, ids and time."""
