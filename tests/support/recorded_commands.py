"""Programs that are not run: what they are asked is written down, what they answer is given."""

import base64
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from gateway.agent.commands import Finished

# Arguments and standard input → what the program answers; None: it ends well and says nothing.
Answer = Callable[[Sequence[str], bytes], Finished | None]


def says(output: bytes | str = b"", status: int = 0, errors: str = "") -> Finished:
    return Finished(status, output.encode() if isinstance(output, str) else output, errors)


class RecordedCommands:
    """``answers``: the beginning of a command line → its answer. ``hide``: texts that differ from run to run,
    and what stands for them in the transcript. Scripts of PowerShell are shown decoded."""

    def __init__(
        self,
        answers: Mapping[str, Finished | Answer] | None = None,
        hide: Mapping[str, str] | None = None,
    ) -> None:
        self._answers = dict(answers or {})
        self._hide = dict(hide or {})
        self._lines: list[str] = []

    def run(self, arguments: Sequence[str], *, given: bytes = b"", seconds: float = 30.0) -> Finished:
        words, read = list(arguments), given.decode()
        if words[-2:-1] == ["-EncodedCommand"]:
            words, read = words[:-1], base64.b64decode(words[-1]).decode("utf-16-le")
        line = " ".join(_shown(word) for word in words)
        self._lines.append(f"$ {line}")
        self._lines += [f"  < {text}" for text in read.splitlines()]
        for argument in arguments:  # files that it is given, as they are at this moment
            file = Path(argument)
            if file.suffix in (".inf", ".xml", ".pem", ".cer") and file.is_file():
                self._lines.append(f"  ({file.name}: {file.stat().st_size} bytes)")
        for beginning, answer in self._answers.items():
            if line.startswith(beginning):
                found = answer if isinstance(answer, Finished) else answer(arguments, given)
                return found or says()
        return says()

    def transcript(self) -> str:
        text = "\n".join(self._lines) + "\n"
        for hidden, shown in self._hide.items():
            text = text.replace(hidden, shown)
        self._lines.clear()
        return text


def _shown(argument: str) -> str:
    return f"'{argument}'" if " " in argument or not argument else argument
