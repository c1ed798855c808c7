"""Preprocessing, algorithms, choice of k, permanent ids and assignment."""
