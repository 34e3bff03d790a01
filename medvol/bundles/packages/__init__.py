"""Packed bundles: what they hold, their cards, and how they are written."""
