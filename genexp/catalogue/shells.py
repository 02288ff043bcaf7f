"""``genexp completion``: the scripts that make a shell complete commands, and the answers that they ask for."""

import re
import sys
from collections.abc import Callable, Mapping

from genexp.record.errors import ConfigError, check_choice

SCRIPTS = {
    "bash": """\
_genexp() {
    local answer
    COMPREPLY=()
    while IFS= read -r answer; do
        COMPREPLY+=("$answer")
    done < <("$1" completion --answer bash "${COMP_LINE:0:COMP_POINT}" "$COMP_WORDBREAKS" 2>/dev/null)
    [ ${#COMPREPLY[@]} -eq 0 ] || compopt -o nospace 2>/dev/null
}
complete -o default -F _genexp genexp
""",
    "zsh": """\
#compdef genexp
_genexp() {
    local answer word
    local -a whole part whole_texts part_texts
    for answer in "${(@f)$(${(Q)words[1]} completion --answer zsh "${(j: :)words[1,CURRENT-1]} $PREFIX" 2>/dev/null)}"; do
        word=${answer%%$'\\t'*}
        [[ -z $word ]] && continue
        if [[ $word == *[=./] ]]; then
            part+=("$word")
            part_texts+=("${answer/$'\\t'/  -- }")
        else
            whole+=("$word")
            whole_texts+=("${answer/$'\\t'/  -- }")
        fi
    done
    if (( ${#whole} + ${#part} == 0 )); then
        compset -P '*='
        _files
        return
    fi
    (( ${#part} )) && compadd -l -S '' -d part_texts -a part
    (( ${#whole} )) && compadd -l -d whole_texts -a whole
    return 0
}
compdef _genexp genexp
""",
    "fish": """\
function __genexp_complete
    set -l line (commandline -cp)
    set -l command (commandline -opc)[1]
    set -l token (commandline -ct)
    set -l answers ($command completion --answer fish "$line" 2>/dev/null)
    if count $answers >/dev/null
        printf '%s\\n' $answers
    else if string match -q '*=*' -- $token
        set -l key (string replace -r '=.*' '=' -- $token)
        for path in (__fish_complete_path (string replace -r '^[^=]*=' '' -- $token))
            echo $key$path
        end
    else
        __fish_complete_path $token
    end
end
complete -c genexp -f -a '(__genexp_complete)'
""",
}
"""They ask for the candidates with ``genexp completion --answer SHELL LINE``."""
INSTALL = {
    "bash": "genexp completion bash >> ~/.bashrc",
    "zsh": "genexp completion zsh >> ~/.zshrc      (below compinit)",
    "fish": "genexp completion fish > ~/.config/fish/completions/genexp.fish",
}
HELP = f"""\
usage: genexp completion bash|zsh|fish

Prints a script that makes the shell complete verbs, config groups and their options, keys, values and run folders:
{"".join(f"{chr(10)}  {line}" for line in INSTALL.values())}

To try it first in the shell that runs:   source <(genexp completion bash)     genexp completion fish | source"""


def main(arguments: list[str], verbs: Mapping[str, str], flags: Callable[[str], list[str]]) -> None:
    """The verb.

    Args:
        arguments: a shell; or ``--answer``, a shell, the command line up to the cursor and, of bash, the characters that end a
            word there.
        verbs: names, with a line about each.
        flags: the options of a verb.

    Raises:
        ConfigError: there is no such shell.
    """
    if arguments[:1] == ["--answer"] and len(arguments) > 2:
        for line in answers(arguments[1], arguments[2], "".join(arguments[3:4]), verbs, flags):
            print(line)
        return
    if not arguments or arguments[0] in ("-h", "--help"):
        print(HELP)
        return
    if len(arguments) > 1:
        raise ConfigError(f"genexp completion takes one shell: {', '.join(SCRIPTS)}")
    check_choice("genexp completion", arguments[0], list(SCRIPTS))
    print(SCRIPTS[arguments[0]], end="")
    print(f"# {INSTALL[arguments[0]]}", file=sys.stderr)


def answers(
    shell: str, line: str, breaks: str, verbs: Mapping[str, str], flags: Callable[[str], list[str]]
) -> list[str]:
    """The lines that a shell reads: for bash what follows the last character that ends a word, with a space where nothing need
    follow; for the others whole words, a tab, and a line about them."""
    from genexp.catalogue.candidates import candidates

    words, current, quote = split(line)
    try:
        found = candidates(words[1:], current, verbs, flags)
    except ConfigError:  # a broken file of the user's: the command itself says so
        return []
    if shell != "bash":
        return [f"{word}\t{text}" if text else word for word, text in dict(found).items()]
    start = (
        0
        if quote
        else 1 + max((current.rfind(mark) for mark in breaks if mark.strip() and mark in current), default=-1)
    )
    return [word[start:] + ("" if quote or word[-1] in "=./" else " ") for word in dict(found)]


def split(line: str) -> tuple[list[str], str, str]:
    """A command line up to the cursor: the words before the last, the last as far as it is written, and the quote in which it
    stands, if it does."""
    words: list[str] = []
    current, quote, is_open = "", "", False
    letters = iter(line)
    for letter in letters:
        if letter == "\\" and quote != "'":
            current, is_open = current + next(letters, ""), True
        elif quote:
            current, quote = (current, "") if letter == quote else (current + letter, quote)
        elif letter in "'\"":
            quote, is_open = letter, True
        elif letter.isspace():
            if is_open or current:
                words.append(current)
            current, is_open = "", False
        else:
            current += letter
    return words, current, quote


def flags_in(text: str) -> list[str]:
    """The options that the help of a verb names, and the names in braces: what may stand first."""
    return list(dict.fromkeys([*re.findall(r"(?<![\w-])--[a-z][\w-]*", text), *re.findall(r"\w+", _braces(text))]))


def _braces(text: str) -> str:
    found = re.search(r"\{([\w,]+)\}", text)
    return found.group(1) if found else ""
