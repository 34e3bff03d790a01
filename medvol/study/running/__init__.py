"""Carry out the runs of a plan, restartably and by several processes at once."""
