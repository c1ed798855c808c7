"""Plans what a refresh does, and carries that plan out."""
