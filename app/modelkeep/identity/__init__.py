"""Identities that others vouch for: JSON Web Tokens, verified with the keys that their issuers publish."""
