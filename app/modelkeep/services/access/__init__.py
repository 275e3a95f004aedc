"""Who a caller is and what it may do: tokens, trust rules, decisions."""
