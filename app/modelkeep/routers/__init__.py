"""HTTP only: parse, one call, shape the answer."""
