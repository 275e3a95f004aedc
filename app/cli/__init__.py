"""The registry from a command line: arguments in, calls of `app.client`, output out."""
