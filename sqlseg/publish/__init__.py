"""The read-only file that people and BI tools open."""
