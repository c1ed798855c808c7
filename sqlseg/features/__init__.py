"""Versioned SQL views: registry, locality, lock, checks and binding."""
