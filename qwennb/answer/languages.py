"""The languages that a fence may name.

A front end highlights most of them, and runs or draws some others (`mermaid`, `math`, `geojson`, `vega`, `svg`), by names
that each spells in its own way: nbconvert draws whatever begins with `mermaid`, and escapes nothing of it. So what a
fence may be called is a list, and what is not on it is no name.
"""

from __future__ import annotations

import re

_WORDS = """
ada apl asm nasm armasm awk bash sh shell zsh fish ksh csh console shell-session sh-session powershell pwsh ps1 bat
batch cmd basic vb vbnet vba c h cpp c++ cc cxx hpp cuda cu opencl objective-c objc objectivec csharp cs c# fsharp
fs f# clojure clj cmake cobol coffeescript coffee common-lisp lisp elisp scheme racket css scss sass less crystal d
dart delphi pascal diff patch docker dockerfile elixir ex elm erlang erl fortran f90 gherkin glsl hlsl wgsl go
golang graphql groovy gradle haskell hs haxe hcl terraform tf html xhtml http ini cfg conf properties java
javascript js jsx mjs node json json5 jsonc jsonl ndjson julia jl kotlin kt latex tex bibtex llvm log lua make
makefile matlab octave markdown md mathematica wolfram meson mojo nginx nim nix ocaml ml perl pl php plain plaintext
text txt output prolog protobuf proto puppet python python3 py py3 pycon ipython ipython3 python-repl qml r rust rs
rst ruby rb sas scala solidity sparql sql mysql postgresql postgres psql plpgsql sqlite tsql stan stata svelte swift
systemverilog verilog vhdl tcl toml turtle typescript ts tsx vim viml vue wasm wast xml xslt yaml yml zig csv tsv
env dotenv gitignore ebnf regex requirements
"""
LANGUAGES = frozenset(_WORDS.split())
_NAME = re.compile(r"^\s*\{?\.?([\w+#-]{1,30})(?=[\s}:,;{]|$)")


def name_language(info: str) -> str:
    """Find the language that a fence's *info* names; empty where it names none that is known."""
    found = _NAME.match(info)
    return found[1] if found and found[1].casefold() in LANGUAGES else ""
