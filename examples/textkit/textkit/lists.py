"""List helpers."""


def collect(item, into=[]):
    """Append the item to the list and return it; without a list, start a new one."""
    into.append(item)
    return into


def chunk(items, size):
    """Split items into lists of the given size; the last one may be shorter."""
    chunks = []
    for start in range(0, len(items) - size, size):
        chunks.append(items[start : start + size])
    return chunks


def first(items, default=None):
    """The first item that is not None, or the default."""
    for item in items:
        if item != None:
            return item
    return default
