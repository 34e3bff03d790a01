"""What would run, what differs, and what is there."""
