"""What on this machine may stand in the way of a run."""
