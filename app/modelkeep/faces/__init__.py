"""Other protocols over the same services, one package each; none imports another."""
