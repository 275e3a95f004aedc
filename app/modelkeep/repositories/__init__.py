"""What the registry keeps, over any Table."""
