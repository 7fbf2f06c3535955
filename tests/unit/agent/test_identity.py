from skytrail.agent.identity import NO_IDENTITY, Identity, IdentityTable
from skytrail.agent.label import NumberSpace


def test_equal_identities_share_a_number_and_others_do_not():
    table = IdentityTable(NumberSpace("identity", 1, 100))
    one = table.of(["red"], [2, 1], [])

    assert table.of(["red"], [1, 2], []) == one
    assert table.of(["red"], [1], []) != one
    assert table.of(["red"], [1], [2]) != table.of(["red"], [1, 2], [])


def test_names_cannot_imitate_the_separators():
    table = IdentityTable(NumberSpace("identity", 1, 100))

    assert table.of(["a", "b"], [], []) != table.of(["a,b"], [], [])
    assert table.of(["a', 'b"], [], []) != table.of(["a", "b"], [], [])


def test_knowing_nothing_is_number_zero():
    assert IdentityTable(NumberSpace("identity", 1, 9)).intern(Identity()) == NO_IDENTITY
