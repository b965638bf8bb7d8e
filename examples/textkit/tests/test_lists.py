from textkit.lists import chunk, collect, first


def test_collect_starts_anew():
    assert collect(1) == [1]
    assert collect(2) == [2]


def test_chunk_keeps_the_rest():
    assert chunk([1, 2, 3, 4, 5], 2) == [[1, 2], [3, 4], [5]]


def test_first_skips_none():
    assert first([None, 0, 1]) == 0
