"""Turns users' recent behaviour into embeddings: sessions, batching, the SQL function, the cache."""
