"""Who may do what: actions, grants, principals, registry tokens, trust in issuers. Pure, and where the rules live."""
