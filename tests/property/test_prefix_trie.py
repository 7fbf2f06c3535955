"""The prefix table against a naive list."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from hypothesis import given
from hypothesis import strategies as st

from skytrail.net import IpAddress, IpPrefix, PrefixTrie

# Few distinct high bits, so that prefixes nest and collide often.
ADDRESSES_4 = st.integers(0, 63).map(lambda n: IPv4Address((n << 26) | (n & 3)))
ADDRESSES_6 = st.integers(0, 63).map(lambda n: IPv6Address((n << 122) | (n & 3)))
ADDRESSES: st.SearchStrategy[IpAddress] = st.one_of(ADDRESSES_4, ADDRESSES_6)
PREFIXES: st.SearchStrategy[IpPrefix] = st.one_of(
    st.builds(lambda a, n: IPv4Network((a, n), strict=False), ADDRESSES_4, st.integers(0, 32)),
    st.builds(lambda a, n: IPv6Network((a, n), strict=False), ADDRESSES_6, st.integers(0, 128)),
)
STEPS = st.lists(st.tuples(PREFIXES, st.one_of(st.none(), st.integers())), max_size=40)


@given(STEPS, st.lists(st.one_of(ADDRESSES, PREFIXES), max_size=20))
def test_trie_equals_naive_map(
    steps: list[tuple[IpPrefix, int | None]], targets: list[IpAddress | IpPrefix]
) -> None:
    trie: PrefixTrie[int] = PrefixTrie()
    naive: dict[IpPrefix, int] = {}
    for prefix, value in steps:
        if value is None:
            assert trie.remove(prefix) == naive.pop(prefix, None)
        else:
            trie.insert(prefix, value)
            naive[prefix] = value

    assert len(trie) == len(naive)
    assert dict(trie.items()) == naive
    for prefix, _ in steps:
        assert trie.exact(prefix) == naive.get(prefix)
    for target in targets:
        assert trie.longest_match(target) == naive_match(naive, target)


def naive_match(
    naive: dict[IpPrefix, int], target: IpAddress | IpPrefix
) -> tuple[IpPrefix, int] | None:
    covering = [
        (prefix, value)
        for prefix, value in naive.items()
        if prefix.version == target.version
        and (
            target in prefix
            if isinstance(target, IPv4Address | IPv6Address)
            else prefix.supernet_of(target)  # type: ignore[arg-type]
        )
    ]
    return max(covering, key=lambda pair: pair[0].prefixlen, default=None)
