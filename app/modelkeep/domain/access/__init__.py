"""The rules of access: actions, grants, principals, registry tokens, trust in issuers."""
