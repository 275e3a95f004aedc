"""The drivers on one machine: the table in a SQLite file, the objects in a folder."""
