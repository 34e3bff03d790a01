"""Everything that can be known about a bundle before it runs: rules, facts, and the cost from a few steps."""
