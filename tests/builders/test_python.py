"""Units of Python source: found around a line, replaced as a whole."""

from __future__ import annotations

import pytest

from bessemer.actors.builders._python import NotUsable, Unit, replace, unit_at

SOURCE = '''"""Doc."""

from __future__ import annotations

LIMIT = 3


class Box:
    @property
    def size(self):
        """How many."""
        return LIMIT

    def put(self, item, into=[]):
        into.append(item)
        return into


def outer():
    def inner():
        return 1
    return inner()
'''


@pytest.mark.parametrize(
    ("line", "kind", "name"),
    [
        (3, "imports", ""),
        (5, "statement", ""),
        (9, "function", "size"),
        (14, "function", "put"),
        (21, "function", "inner"),
    ],
)
def test_the_unit_around_a_line(line, kind, name):
    found = unit_at(SOURCE, line)
    assert found is not None
    assert (found.kind, found.name) == (kind, name)


def test_a_method_keeps_its_decorator_indentation_and_docstring():
    unit = unit_at(SOURCE, 11)
    assert unit is not None
    changed = replace(SOURCE, unit, "def size(self):\n    return LIMIT + 1\n")
    assert '    @property\n    def size(self):\n        """How many."""\n        return LIMIT + 1\n' in changed


def test_a_method_answered_inside_its_class():
    unit = unit_at(SOURCE, 14)
    assert unit is not None
    answer = "class Box:\n    def put(self, item, into=None):\n        return [*(into or []), item]\n"
    changed = replace(SOURCE, unit, answer)
    assert "    def put(self, item, into=None):\n        return [*(into or []), item]\n\n\ndef outer" in changed


def test_what_the_answer_needs_is_imported_once():
    unit = unit_at(SOURCE, 19)
    assert unit is not None
    answer = (
        "import re\nfrom math import floor\n\ndef outer():\n    return re.sub('a', '', string.digits), floor(1.5)\n"
    )
    changed = replace(SOURCE, unit, answer)
    head = changed.split("LIMIT")[0]
    assert head.count("import re\n") == head.count("from math import floor\n") == head.count("import string\n") == 1
    assert head.index("__future__") < head.index("import re")


def test_an_import_that_only_the_old_function_used_goes_with_it():
    text = "import string\nfrom os import path, sep\n\n\ndef f(x):\n    return string.digits, sep\n\n\nP = path\n"
    unit = unit_at(text, 6)
    assert unit is not None
    changed = replace(text, unit, "def f(x):\n    return x\n")
    assert changed == "from os import path\n\n\ndef f(x):\n    return x\n\n\nP = path\n"


def test_a_statement_and_a_text_are_replaced():
    assert replace("A = 1\nB = 2\n", Unit("statement", "", 1, 1), "A = 3\n") == "A = 3\nB = 2\n"
    assert replace("A = 1\nB = 2\n", Unit("imports", "", 1, 1), "") == "B = 2\n"


@pytest.mark.parametrize("answer", ["def outer():\n    return (", "outer = 1", "def outer(x):\n    return x", ""])
def test_no_such_unit_is_refused(answer):
    unit = unit_at(SOURCE, 19)
    assert unit is not None
    with pytest.raises(NotUsable):
        replace(SOURCE, unit, answer)


def test_source_that_does_not_compile_has_no_unit():
    assert unit_at("def broken(:\n", 1) is None
