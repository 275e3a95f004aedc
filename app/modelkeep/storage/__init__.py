"""The two seams, Table and ObjectStore, and their drivers."""
