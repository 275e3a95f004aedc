"""What surrounds every request, from its connection to its answer: limits, identity, problems, the OpenAPI document."""
