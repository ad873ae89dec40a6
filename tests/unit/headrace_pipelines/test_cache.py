"""The bounded cache holds what follows from its objects, and no more than its size."""

from __future__ import annotations

from headrace_pipelines.cache import BoundedCache


def test_other_objects_empty_it():
    one, other, cache = object(), object(), BoundedCache[str, int](4)
    get = cache.get
    for objects in ((one,), (other,), (other, one), (other, other), (one, None)):
        assert cache.valid_for(*objects) is cache
        assert get("a") is None, objects
        cache.set("a", 1)
        assert cache.valid_for(*objects).get("a") == 1
    assert get("a") == 1, "nobody has asked for another"


def test_equal_objects_are_not_the_same():
    cache = BoundedCache[str, int](4)
    cache.valid_for([]).set("a", 1)
    assert cache.valid_for([]).get("a") is None


def test_the_oldest_gives_way():
    cache = BoundedCache[str, int](2)
    for number, key in enumerate("aabca"):
        cache.set(key, number)
    assert (len(cache), cache.get("a"), cache.get("b"), cache.get("c")) == (2, 4, None, 3)
