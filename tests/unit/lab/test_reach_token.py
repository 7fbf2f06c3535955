"""Tokens of the chaos test are read again wherever they come out, and nothing else is."""

from skytrail.testing.reach_token import Token, answer_to, tokens

MARK, OTHER_RUN = b"chaosrun", b"otherrun"


def test_segment_with_several_messages_names_each() -> None:
    sent = [Token(3, 7), Token(3, 8), Token(3, 9, is_answer=True)]
    segment = b"".join(token.encode(MARK) for token in sent)

    assert list(tokens(segment, MARK)) == sent


def test_token_cut_short_or_of_another_run_is_none() -> None:
    whole = Token(3, 7).encode(MARK)

    assert list(tokens(whole[:-1], MARK)) == []
    assert list(tokens(Token(3, 7).encode(OTHER_RUN), MARK)) == []
    assert list(tokens(b"xx" + whole + whole[:5], MARK)) == [Token(3, 7)]


def test_answer_is_for_requests_of_this_run_alone() -> None:
    request = Token(3, 7).encode(MARK)
    answer = answer_to(request, MARK)

    assert answer is not None
    assert list(tokens(answer, MARK)) == [Token(3, 7, is_answer=True)]
    assert answer_to(answer, MARK) is None
    assert answer_to(request, OTHER_RUN) is None
    assert answer_to(b"", MARK) is None
