"""The registry from a command line: arguments in, calls of `modelkeep.client`, output out."""
