"""What belongs to kind `lightning` beside its trainer."""
