"""Counts tokens as the models do: by a GGUF file's vocabulary, a tokenizer file, or the bytes."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import msgspec
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from cloud.providers.gguf_request import harmless, template_role
from cloud.providers.gguf_vocabulary import Vocabulary
from cloud.wire.chat import Message
from cloud.wire.service.settings import StartUpError

_FRAME_TOKENS = 8
"""What a chat template puts around one message, generously: no known one writes more."""

_CUE_TOKENS = 48
"""What it puts around the whole prompt: the cue for the answer, a default system message."""

_DEFAULT_SYSTEM_TOKENS = 32

_CONTROL = 3
_CHATML = "<|im_start|>' + message['role']"
_MOST_REMEMBERED = 8192
_LONGEST_REMEMBERED = 4096
"""Characters: a prompt's recent turns are counted again with every prompt, and are mostly short."""


class ByteTokens:
    """For models whose tokenizer is not known: no byte-level or byte-fallback tokenizer makes more tokens
    of a text than it has bytes."""

    def of_messages(self, messages: Sequence[Message]) -> int:
        return _CUE_TOKENS + sum(map(self.of_message, messages))

    def of_message(self, message: Message) -> int:
        return _FRAME_TOKENS + sum(len(text.encode()) for text in _texts(message))

    def of_text(self, text: str) -> int:
        return len(text.encode())


class TokenizerTokens:
    """By a tokenizer of the `tokenizers` library; the template around messages is estimated from above."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._short = lru_cache(maxsize=_MOST_REMEMBERED)(self._count)

    def of_messages(self, messages: Sequence[Message]) -> int:
        return _CUE_TOKENS + sum(map(self.of_message, messages))

    def of_message(self, message: Message) -> int:
        return _FRAME_TOKENS + sum(map(self.of_text, _texts(message)))

    def of_text(self, text: str) -> int:
        return self._short(text) if len(text) <= _LONGEST_REMEMBERED else self._count(text)

    def _count(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)


class ChatMlTokens(TokenizerTokens):
    """The same with a template known to the letter: exact, but for its default system message."""

    def __init__(self, tokenizer: Tokenizer, *, default_system: bool) -> None:
        super().__init__(tokenizer)
        self._cue = self._count("<|im_start|>assistant\n")
        self._default_system = _DEFAULT_SYSTEM_TOKENS if default_system else 0

    def of_messages(self, messages: Sequence[Message]) -> int:
        has_system = bool(messages) and template_role(messages[0]) == "system"
        default = 0 if has_system else self._default_system
        return self._cue + default + sum(map(self.of_message, messages))

    def of_message(self, message: Message) -> int:
        # As one text: a line break that ends the frame may merge with one that begins the content.
        content = harmless("".join(_texts(message)))
        return self.of_text(f"<|im_start|>{template_role(message)}\n{content}<|im_end|>\n")


def tokens_of_file(path: Path) -> TokenizerTokens:
    """Of a `tokenizer.json`. Raises StartUpError when it cannot be read."""
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing more precise
        raise StartUpError(f"cannot read the tokenizer file {path}: {error}") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return TokenizerTokens(tokenizer)


def tokens_of_vocabulary(vocabulary: Vocabulary | None) -> ByteTokens | TokenizerTokens:
    """Of a GGUF file, where its tokenizer is one that we know to the letter; else by its bytes."""
    if vocabulary is None or vocabulary.kind != "gpt2" or vocabulary.split != "smollm":
        return ByteTokens()
    tokenizer = Tokenizer(
        models.BPE(
            vocab={token: index for index, token in enumerate(vocabulary.tokens)},
            merges=[
                (left, right) for left, _, right in (merge.partition(" ") for merge in vocabulary.merges)
            ],
        )
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [
            AddedToken(token, special=True, normalized=False)
            for token, kind in zip(vocabulary.tokens, vocabulary.types, strict=False)
            if kind == _CONTROL
        ]
    )
    if _CHATML not in vocabulary.chat_template:
        return TokenizerTokens(tokenizer)
    return ChatMlTokens(tokenizer, default_system="loop.first" in vocabulary.chat_template)


def _texts(message: Message) -> list[str]:
    """Everything of the message that a model reads; what is no text, as its JSON."""
    texts = [message.name] if message.name else []
    if isinstance(message.content, str):
        texts.append(message.content)
    else:
        for part in message.content or ():
            is_text = part.type == "text" and isinstance(part.text, str)
            texts.append(part.text + "\n" if is_text else msgspec.json.encode(part).decode())
    if message.tool_calls:
        texts.append(msgspec.json.encode(message.tool_calls).decode())
    if message.tool_call_id:
        texts.append(message.tool_call_id)
    return texts
