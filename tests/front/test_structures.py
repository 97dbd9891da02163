"""Header fields, names for numbers, hooks."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import pytest

from pooledhttp.hooks import default_hooks, dispatch_hook
from pooledhttp.status_codes import _codes, codes
from pooledhttp.structures import CaseInsensitiveDict, LookupDict


def test_the_last_spelling_and_the_first_place_are_kept() -> None:
    """Setting a name again changes its spelling, not its place."""
    fields = CaseInsensitiveDict({"Accept": "1", "Host": "h"})
    fields["ACCEPT"] = "2"
    assert list(fields.items()) == [("ACCEPT", "2"), ("Host", "h")]
    assert fields["accept"] == "2" and "aCCept" in fields and len(fields) == 2


def test_a_deleted_field_comes_back_at_the_end() -> None:
    """Deleting takes the place away, too."""
    fields = CaseInsensitiveDict([("A", 1), ("B", 2)])
    del fields["a"]
    fields["A"] = 3
    assert list(fields) == ["B", "A"]


def test_equality_ignores_case_and_needs_a_mapping() -> None:
    """Any mapping with the same names in any case is equal; nothing else is."""
    fields = CaseInsensitiveDict(Accept="x")
    assert fields == {"ACCEPT": "x"}
    assert fields != {"accept": "y"}
    assert fields != [("Accept", "x")]


def test_copy_and_pickle_keep_names_and_values() -> None:
    """A copy is equal and independent, and so is what comes out of a pickle."""
    fields = CaseInsensitiveDict({"X-A": "1"})
    for twin in (fields.copy(), pickle.loads(pickle.dumps(fields))):
        assert twin == fields and list(twin) == ["X-A"]
        twin["x-b"] = "2"
    assert "X-B" not in fields and repr(fields) == "{'X-A': '1'}"


def test_a_lookup_answers_none_for_items_and_raises_for_attributes() -> None:
    """A missing item is None or the default, a missing attribute an AttributeError."""
    lookup: LookupDict[int] = LookupDict("things")
    lookup.one = 1
    assert lookup["one"] == lookup.one == lookup.get("one") == 1
    assert lookup["two"] is None and lookup.get("two", 5) == 5
    with pytest.raises(AttributeError, match="two"):
        _ = lookup.two
    assert repr(lookup) == "<lookup 'things'>"


def test_every_name_of_every_code_is_there_in_capitals_too() -> None:
    """Words exist in both cases, drawings as drawn."""
    last = {name: code for code, names in _codes.items() for name in names}
    assert {name: codes[name] for name in last} == last
    assert last["uri_too_long"] == 414  # 122 has the name as well; the newer code wins
    assert codes.NOT_FOUND == codes.not_found == 404
    assert codes["\\o/"] == 200 and codes["/O\\"] is None


def test_hooks_pass_on_what_they_return() -> None:
    """Each hook gets the result of the one before; None leaves it."""

    def add(letter: str) -> Callable[..., str]:
        return lambda value, **kwargs: value + letter + kwargs["end"]

    hooks = {"response": [add("a"), lambda value, **kwargs: None, add("b")]}
    assert dispatch_hook("response", hooks, "", end=".") == "a.b."
    assert dispatch_hook("response", {"response": add("a")}, "", end="") == "a"


@pytest.mark.parametrize("hooks", [None, {}, default_hooks(), {"other": [print]}])
def test_without_a_hook_the_value_stays(hooks: dict[str, list[object]] | None) -> None:
    """No table, no event, no hook: the value comes back."""
    value = object()
    assert dispatch_hook("response", hooks, value) is value  # type: ignore[arg-type]
