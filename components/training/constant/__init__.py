"""What belongs to kind `constant` beside its trainer."""
