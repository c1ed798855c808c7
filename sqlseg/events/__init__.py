"""From a source to canonical events."""
