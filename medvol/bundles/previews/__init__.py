"""Pictures of what a network sees."""
