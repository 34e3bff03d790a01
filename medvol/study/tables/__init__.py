"""What the runs left behind as tables, and the measures on them."""
