from textkit.text import count_words, is_palindrome, truncate


def test_truncate_keeps_short_text():
    assert truncate("short", 10) == "short"


def test_truncate_counts_the_dots():
    assert truncate("a long sentence", 9) == "a long..."
    assert len(truncate("x" * 50, 20)) == 20


def test_count_words_ignores_case_and_punctuation():
    assert count_words("The cat. The hat!") == {"the": 2, "cat": 1, "hat": 1}


def test_count_words_over_lines():
    assert count_words("one\ntwo  one") == {"one": 2, "two": 1}


def test_palindrome_word():
    assert is_palindrome("level")
    assert not is_palindrome("lever")


def test_palindrome_sentence():
    assert is_palindrome("A man, a plan, a canal: Panama")
