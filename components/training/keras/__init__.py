"""What belongs to kind `keras` beside its trainer."""
