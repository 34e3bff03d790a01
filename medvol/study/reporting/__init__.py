"""The report: what it says, how it looks, and the files that it is."""
