"""Names of spans, and how they are written for others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml.etree import fromstring

from skytrail.wire.spans import SpanContext, context_of, read_header, trace_of
from skytrail.wire.xmpp import RevisionMark
from skytrail.wire.xmpp.codec import encode_config
from skytrail.wire.xmpp.config_codec import decode_config


@given(st.integers(0, 2**63), st.text())
def test_contexts_come_back_as_they_were_written(revision, history):
    context = context_of(trace_of(revision, history), "api.write")

    assert read_header(context.header()) == context


def test_traces_of_two_histories_differ():
    assert trace_of(5, "a") != trace_of(5, "b")
    assert trace_of(5, "a") != trace_of(6, "a")


@given(st.text())
def test_what_is_no_context_is_none(text):
    assert read_header(text) is None


@pytest.mark.parametrize(
    "text",
    [
        f"00-{'0' * 32}-{'1' * 16}-01",
        f"00-{'1' * 32}-{'0' * 16}-01",
        f"00-{'A' * 32}-{'1' * 16}-01",
        f"00-{'1' * 32}-{'1' * 16}-01-more",
    ],
)
def test_context_that_names_nothing_is_none(text):
    assert read_header(text) is None


CONTEXTS = (SpanContext("1" * 32, "2" * 16), SpanContext("3" * 32, "4" * 16))


def test_mark_carries_contexts():
    mark = RevisionMark(7, CONTEXTS)

    assert list(decode_config(fromstring(encode_config(mark)))) == [mark]


def test_mark_without_contexts_is_as_it_was():
    assert encode_config(RevisionMark(7)) == b'<config><revision-mark revision="7"/></config>'


def test_contexts_that_are_none_are_passed_over():
    body = (
        f'<config><revision-mark revision="7" traces="x {CONTEXTS[0].header()} 00-1-2-3"/></config>'
    )

    assert list(decode_config(fromstring(body.encode()))) == [RevisionMark(7, CONTEXTS[:1])]
