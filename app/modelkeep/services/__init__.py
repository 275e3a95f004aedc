"""What a caller can do: authorization, the order of steps, ids and time."""
