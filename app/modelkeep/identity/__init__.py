"""Identities of trusted issuers: JSON Web Tokens, verified with the keys that their issuers publish."""
