"""What commands show to people: lists as tables, single things as cards."""
