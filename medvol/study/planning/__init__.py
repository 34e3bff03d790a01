"""The study file, the runs it stands for, and what they will cost."""
