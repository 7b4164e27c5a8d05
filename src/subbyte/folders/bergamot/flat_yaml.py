"""The part of YAML that Marian writes: one level of `key: value` and of lists. Anything else is refused."""

import re

from subbyte.errors import FAULT_LENGTH, ModelError

Value = str | list[str]

KEY = re.compile(r"([A-Za-z0-9_.-]+):(?:[ \t]+(.*))?$")
ITEM = re.compile(r"[ \t]*-[ \t]+(.*)$")
SPECIAL = tuple("{[&*!|>%@`#")  # what would mean something else than text


def parse_flat_yaml(data: bytes, where: str) -> dict[str, Value]:
    """Key -> text, or list of texts. Quotes are taken off; numbers and truth values stay text.

    >>> parse_flat_yaml(b"beam-size: 1\\nvocabs:\\n  - a.spm\\n  - a.spm\\n", "config.yml")
    {'beam-size': '1', 'vocabs': ['a.spm', 'a.spm']}
    """
    try:
        lines = data.decode("utf-8").splitlines()
    except UnicodeDecodeError as e:
        raise ModelError(f"{where}: is not UTF-8: byte {e.start} is {data[e.start]:#04x}") from None
    found: dict[str, Value] = {}
    open_list: list[str] | None = None
    for number, line in enumerate(lines, start=1):
        line = line.rstrip()
        if not line.strip() or line.lstrip().startswith("#") or line == "---":
            continue
        if (item := ITEM.match(line)) and open_list is not None:
            open_list.append(_scalar(item[1], where, number))
            continue
        key = KEY.match(line)
        if not key:
            raise _strange(line, where, number)
        if key[1] in found:
            raise ModelError(f"{where}: line {number}: the key {key[1]!r} is there twice")
        text = (key[2] or "").strip()
        open_list = [] if not text else None
        if open_list is not None:
            found[key[1]] = open_list
        elif text.startswith("["):
            found[key[1]] = _flow_list(text, where, number)
        else:
            found[key[1]] = _scalar(text, where, number)
    return found


def _scalar(text: str, where: str, number: int) -> str:
    text = text.strip()
    if text[:1] in ("'", '"'):
        quote, inner = text[0], text[1:-1]
        if len(text) < 2 or text[-1] != quote or quote in inner or "\\" in inner:
            raise _strange(text, where, number)
        return inner
    if text.startswith(SPECIAL) or " #" in text or ": " in text or text.endswith(":"):
        raise _strange(text, where, number)
    return text


def _flow_list(text: str, where: str, number: int) -> list[str]:
    if not text.endswith("]"):
        raise _strange(text, where, number)
    inner = text[1:-1].strip()
    return [_scalar(part, where, number) for part in inner.split(",")] if inner else []


def _strange(text: str, where: str, number: int) -> ModelError:
    return ModelError(
        f"{where}: line {number} is {text[:FAULT_LENGTH]!r}; read are `key: value`, `key: [a, b]` and lists of texts"
    )
