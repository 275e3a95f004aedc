"""Pages for people, below `/ui`: rendered here, readable without scripts, and over the same services as the API."""
