"""The client's command line: parses arguments, calls `modelkeep.client`, prints the result."""
