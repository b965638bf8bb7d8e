"""Text helpers."""

import string


def truncate(text, width):
    """Shorten text to width characters in all, the last three of them "..." when it was longer."""
    if len(text) <= width:
        return text
    return text[:width] + "..."


def count_words(text):
    """How often each word occurs, in lower case and without punctuation, split at any whitespace."""
    counts = {}
    for word in text.split():
        word = word.strip(string.punctuation)
        counts[word] = counts.get(word, 0) + 1
    return counts


def initials(name):
    """Upper-case initials of a name, whatever spaces are around its parts."""
    return "".join(part[0] for part in name.split(" "))
