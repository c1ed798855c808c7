"""Profiles, names and quality measures of segments."""
