"""Packed bundles over a network: fetched whole or not at all, and uploaded."""
