"""The reference of the command line, from what the commands know of themselves."""

import re
from typing import get_args

from sphinx.application import Sphinx
from sphinx.config import Config

from vae_anomaly_cli.application import COMMANDS, HELP
from vae_anomaly_cli.command import CONFIG_FILE, OPTIONS, PANELS, Command, Parameter
from vae_anomaly_docs.written import GENERATED, remove_others, write

FOLDER = GENERATED / "commands"
PROGRAM = "vae-anomaly"
BOLD = re.compile(r"\[/?(bold|dim|italic|cyan|green|yellow)\]")


def prose(text: str) -> str:
    r"""Return a help text as Markdown: paragraphs, and what follows \b as it is, under its heading."""
    parts = []
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        if paragraph.lstrip().startswith("\b"):
            first, *lines = paragraph.replace("\b", "").strip("\n").split("\n")
            if first.strip().startswith("[bold]"):
                parts.append(f"**{BOLD.sub('', first).strip()}**")
            else:
                lines = [first, *lines]
            shown = "\n".join(line.removeprefix("  ") for line in lines)
            parts.append(f"```text\n{BOLD.sub('', shown)}\n```")
        elif re.fullmatch(r"\[bold\].*\[/bold\]", paragraph.strip()):
            parts.append(f"**{BOLD.sub('', paragraph).strip()}**")
        else:
            parts.append(escaped(BOLD.sub("", " ".join(paragraph.split()))))
    return "\n\n".join(parts)


def escaped(text: str) -> str:
    """Return text in which Markdown finds no marks; options stand as code."""
    text = re.sub(r"([*_<>`|\\$])", r"\\\1", text)
    return re.sub(r"(?<![\w-])(--[a-z][a-z-]*)", r"`\1`", text)


def value_of(parameter: Parameter) -> str:
    """Return what stands for the value of an option; nothing for a flag."""
    option = parameter.option
    kinds = [kind for kind in (parameter.type, *get_args(parameter.type)) if isinstance(kind, type)]
    if bool in kinds:
        return ""
    if option.choices:
        return f" <{'|'.join(option.choices)}>"
    named = next((kind.__name__ for kind in kinds if kind in (int, float)), "text")
    choices = next((kind for kind in kinds if hasattr(kind, "__members__")), None)
    return f" <{'|'.join(choices) if choices else option.metavar or named}>"


def described(command: Command, parameter: Parameter) -> str:
    """Return the help of an option."""
    info = get_args(parameter.signature(command.takes).annotation)[1]
    default = parameter.default
    is_shown = isinstance(default, (int, float, str)) and not isinstance(default, bool)
    return escaped(BOLD.sub("", info.help or "")) + (f" Default: `{default}`." if is_shown else "")


def page(command: Command) -> str:
    """Return the page of a command."""
    parameters = [*command.parameters.values(), CONFIG_FILE]
    arguments = [each for each in parameters if each.option.is_argument]
    usage = " ".join([PROGRAM, command.name, *(each.flag + "..." * each.repeats for each in arguments), "[OPTIONS]"])
    parts = [f"# {PROGRAM} {command.name}", f"```text\n{usage}\n```", prose(command.help)]
    if arguments:
        parts.append("## Arguments")
        parts += [f"`{each.flag}`\n: {described(command, each)}" for each in arguments]
    parts.append(f"```{{program}} {PROGRAM} {command.name}\n```")
    panels: dict[str, list[Parameter]] = {}
    for each in parameters:
        if not each.option.is_argument:
            panels.setdefault(each.option.panel or OPTIONS, []).append(each)
    order = [*PANELS, *(panel for panel in panels if panel not in PANELS)]
    for panel, options in sorted(panels.items(), key=lambda item: order.index(item[0])):
        parts.append(f"## {panel}")
        for each in options:
            names = ", ".join(f"{flag}{value_of(each)}" for flag in each.flags)
            parts.append(f"```{{option}} {names}\n\n{described(command, each)}\n```")
    return "\n\n".join(parts) + "\n"


def write_reference(app: Sphinx, config: Config) -> None:
    """Write a page for each command, and the table of them."""
    rows = "".join(f"| [`{each.name}`]({each.name}.md) | {escaped(summary(each.help))} |\n" for each in COMMANDS)
    index = (
        f"# Command line\n\n{prose(HELP)}\n\n## Commands\n\n| command | what it does |\n|---|---|\n{rows}\n"
        "```{toctree}\n:hidden:\n\n" + "".join(f"{each.name}\n" for each in COMMANDS) + "```\n"
    )
    write(FOLDER / "index.md", index)
    for each in COMMANDS:
        write(FOLDER / f"{each.name}.md", page(each))
    remove_others(FOLDER, {"index.md"} | {f"{each.name}.md" for each in COMMANDS})


def summary(text: str) -> str:
    """Return the first paragraph of a help text."""
    return BOLD.sub("", " ".join(text.strip().split("\n\n")[0].split()))


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx of it."""
    app.connect("config-inited", write_reference)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
