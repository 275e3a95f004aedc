"""What an operator runs over the whole table and store: check, sweep, adopt, migrate."""
