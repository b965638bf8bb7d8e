"""Small helpers for text, numbers, lists and durations."""
