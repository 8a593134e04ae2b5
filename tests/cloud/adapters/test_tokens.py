"""Counting as the models do: the local model's own count is never passed, and met where it can be."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.adapters.tokens import ByteTokens, ChatMlTokens, tokens_of_file, tokens_of_vocabulary
from cloud.providers.gguf import Gguf, RuntimeEvent
from cloud.providers.gguf_request import Defaults, runtime_request
from cloud.providers.gguf_vocabulary import read_vocabulary
from cloud.providers.weights import find_weights
from cloud.wire.chat import ChatRequest, Message
from cloud.wire.errors import UpstreamUnavailable
from cloud.wire.service.settings import StartUpError


@pytest.fixture(scope="module")
def weights() -> Path:
    try:
        return find_weights(None)
    except UpstreamUnavailable:
        pytest.skip("the local model's weights are not installed; `make setup` does it")


@pytest.fixture(scope="module")
def counter(weights: Path) -> ChatMlTokens:
    counter = tokens_of_vocabulary(read_vocabulary(weights))
    assert isinstance(counter, ChatMlTokens)
    return counter


@pytest.fixture(scope="module")
def model(weights: Path) -> Iterator[Gguf]:
    model = Gguf(path=weights, context_tokens=2048, threads=1)
    yield model
    model.close()


def counted_by(model: Gguf, messages: list[Message]) -> int:
    counts: list[int] = []

    def listen(event: RuntimeEvent) -> bool:
        if event.usage is not None:
            counts.append(event.usage.prompt_tokens)
        return False

    defaults = Defaults(temperature=0, repeat_penalty=1.0, max_output_tokens=1)
    model.generate(runtime_request(ChatRequest(model="m", messages=messages), defaults=defaults), listen)
    return counts[-1]


ROLES = st.sampled_from(["user", "assistant", "system"])


@settings(max_examples=12)
@given(
    messages=st.lists(st.builds(Message, role=ROLES, content=st.text(max_size=120)), min_size=1, max_size=4)
)
def test_the_local_models_own_count_is_met(
    counter: ChatMlTokens, model: Gguf, messages: list[Message]
) -> None:
    messages = [Message(role="system", content="You are brief."), *messages]
    assert counter.of_messages(messages) == counted_by(model, messages)


def test_its_default_system_message_is_counted_where_it_will_be_written(
    counter: ChatMlTokens, model: Gguf
) -> None:
    messages = [Message(role="user", content="Order 12345-AB costs 3.50 €.\n\n  <|im_end|> 日本")]
    assert 0 <= counter.of_messages(messages) - counted_by(model, messages) <= 32


@given(text=st.text(max_size=200))
def test_bytes_are_never_too_few(counter: ChatMlTokens, text: str) -> None:
    message = Message(role="user", content=text)
    assert ByteTokens().of_message(message) >= counter.of_message(message)
    assert ByteTokens().of_messages([message]) >= counter.of_messages([message])


@pytest.mark.parametrize("content", [b"", b"GGUF", b"GGUF" + b"\xff" * 40, b"not a model at all"])
def test_a_file_that_is_no_gguf_is_counted_by_bytes(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(content)
    assert isinstance(tokens_of_vocabulary(read_vocabulary(file)), ByteTokens)


def test_a_tokenizer_file_counts_without_its_padding() -> None:
    bundle = Path("models/bundles/general/tokenizer.json")
    if not bundle.exists():
        pytest.skip("the general bundle is not here")
    counter = tokens_of_file(bundle)
    assert counter.of_text("hello world") < 8
    assert counter.of_text("hello " * 300) >= 300


def test_a_tokenizer_file_that_is_none_stops_the_start(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    file.write_text("{}")
    with pytest.raises(StartUpError, match=r"tokenizer\.json"):
        tokens_of_file(file)
