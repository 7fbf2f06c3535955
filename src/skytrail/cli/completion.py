"""``skytrail completion``: the script a shell loads to complete commands, types and names."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from skytrail.cli.help_text import examples


@click.command(
    epilog=examples(
        "skytrail completion bash > /etc/bash_completion.d/skytrail",
        'eval "$(skytrail completion zsh)"',
        "skytrail completion fish > ~/.config/fish/completions/skytrail.fish",
    )
)
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
def completion(shell: str) -> None:
    """Print the completion script of a SHELL.

    Completes commands, options, object types and the names of live objects.
    """
    from skytrail.cli import main

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"No completion for {shell}")
    click.echo(kind(main, {}, "skytrail", "_SKYTRAIL_COMPLETE").source())
    if shell == "bash":
        # Names hold colons; bash would complete only what follows the last one.
        click.echo("COMP_WORDBREAKS=${COMP_WORDBREAKS//:}")
