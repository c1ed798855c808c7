"""Simulated shops with known behaviour groups."""
