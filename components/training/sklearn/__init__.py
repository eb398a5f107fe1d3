"""What belongs to kind `sklearn` beside its trainer."""
