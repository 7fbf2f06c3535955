"""What apply says of documents before it asks any server."""

from click.testing import CliRunner

from skytrail.cli.apply import apply

TWO_WRONG = """\
type: virtual-network
fq_name: [default-domain, default-project, red]
is_sharde: true
---
type: virtual-network
fq_name: [default-domain, default-project, green]
port_security_enabled: perhaps
"""


def test_every_wrong_document_is_told_at_once(tmp_path):
    place = tmp_path / "wrong.yaml"
    place.write_text(TWO_WRONG)

    shown = CliRunner().invoke(apply, [str(place)])

    assert shown.exit_code != 0
    assert "no field 'is_sharde'" in shown.output
    assert "port_security_enabled" in shown.output


def test_documents_may_be_named_with_and_without_an_option(tmp_path):
    missing = [str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml")]

    plain = CliRunner().invoke(apply, [missing[0]])
    named = CliRunner().invoke(apply, ["-f", missing[1]])

    assert f"No file or folder {missing[0]}" in plain.output
    assert f"No file or folder {missing[1]}" in named.output


def test_without_documents_it_says_what_to_give():
    shown = CliRunner().invoke(apply, [])

    assert "Name files or folders" in shown.output
