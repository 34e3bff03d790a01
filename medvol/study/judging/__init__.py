"""From paired differences to a verdict: comparisons, the rule, the sentence, and simulations of it."""
