"""What surrounds every request, from its connection to its answer: limits, who asks, and what every answer has."""
