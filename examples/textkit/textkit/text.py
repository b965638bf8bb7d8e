"""Text helpers."""

import string


def truncate(text, width):
    """Shorten text to width characters in all, the last three of them "..." when it was longer."""
    if len(text) <= width:
        return text
    return text[:width] + "..."


def count_words(text):
    """How often each word occurs, ignoring case and punctuation."""
    counts = {}
    for word in text.split():
        word = word.strip(string.punctuation)
        counts[word] = counts.get(word, 0) + 1
    return counts


def is_palindrome(text):
    """Whether the text reads the same backwards, ignoring case and all but letters and digits."""
    return text == text[::-1]
