"""`completion bash|zsh|fish`: the script a shell needs to complete commands and node names."""

import click
from click.shell_completion import get_completion_class

from fedctl.app import App, FedCommand, pass_app

PLACES = {
    "bash": 'eval "$(fedctl completion bash)"   # in ~/.bashrc',
    "zsh": 'eval "$(fedctl completion zsh)"   # in ~/.zshrc',
    "fish": "fedctl completion fish > ~/.config/fish/completions/fedctl.fish",
}


@click.command(cls=FedCommand)
@click.argument("shell", type=click.Choice(sorted(PLACES)))
@click.pass_context
@pass_app
def completion(app: App, context: click.Context, shell: str) -> None:
    """Print the completion script for SHELL.

    Bash: add `eval "$(fedctl completion bash)"` to ~/.bashrc.
    """
    make = get_completion_class(shell)
    if make is None:
        raise click.UsageError(f"no completion for {shell}")
    root = context.find_root()
    script = make(root.command, {}, "fedctl", "_FEDCTL_COMPLETE").source()
    if app.json:
        app.output.data({"shell": shell, "script": script})
        return
    app.output.text(script)
    app.output.say(PLACES[shell], style="dim")
