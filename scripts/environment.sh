# Sourced by the other scripts: makes the virtual environment .venv and installs genexp into it, once for each
# pyproject.toml. Usage: environment [extra]. PYTHON names the interpreter to make it with (3.11 or later).
environment() {
    local extra="${1:-}" stamp wanted
    wanted=$(cksum <pyproject.toml)
    stamp=".venv/.installed${extra:+-$extra}"
    if [ ! -x .venv/bin/python ]; then
        local python="${PYTHON:-}"
        for candidate in python3.13 python3.12 python3.11 python3; do
            [ -n "$python" ] || ! "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || python=$candidate
        done
        [ -n "$python" ] || { echo "genexp needs Python 3.11 or later; name one with PYTHON=..." >&2; return 1; }
        echo "making the virtual environment .venv with $("$python" --version)"
        "$python" -m venv .venv
    fi
    if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
        echo "installing genexp${extra:+ with the extra '$extra'} into .venv (torch is several GB: about two minutes)"
        .venv/bin/python -m pip install --quiet --disable-pip-version-check -e ".${extra:+[$extra]}" || return 1
        echo "$wanted" >"$stamp"
    fi
}
