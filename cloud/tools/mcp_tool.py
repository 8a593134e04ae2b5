"""A tool of an MCP server, as an agent has it done: allow-listed, limited, its results untrusted."""

import asyncio
import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from cloud.domain import Artifact, ToolContext, ToolResult, ToolSpec
from cloud.tools.mcp_server import McpServer, ServerGone

if TYPE_CHECKING:
    from mcp_types import CallToolResult

IDEMPOTENCY_KEY = "wayside/idempotency-key"
"""In a call's `_meta`: a server that keeps it does a repeated step once."""
_MAX_DESCRIPTION = 1_024
_MAX_SCHEMA_BYTES = 16_384
_ANY_OBJECT: Mapping[str, Any] = {"type": "object"}


class McpTool:
    def __init__(
        self,
        server: McpServer,
        tool: str,
        *,
        agents: Sequence[str],
        tenants: Sequence[str],
        timeout_s: float,
        max_result_bytes: int,
    ) -> None:
        """`agents` and `tenants` that may use it; of tenants none given is all."""
        self._server = server
        self._tool = tool
        self._name = function_name(server.name, tool)
        self._agents = frozenset(agents)
        self._tenants = frozenset(tenants)
        self._timeout_s = timeout_s
        self._max_result_bytes = max_result_bytes

    @property
    def spec(self) -> ToolSpec:
        """What the server says of it; before it has been reached, that it takes an object."""
        listed = self._server.tools.get(self._tool)
        if listed is None:
            return ToolSpec(
                name=self._name,
                description=f"`{self._tool}` of the server `{self._server.name}`",
                parameters=_ANY_OBJECT,
                has_side_effects=True,
            )
        is_small = len(msgspec.json.encode(listed.input_schema)) <= _MAX_SCHEMA_BYTES
        return ToolSpec(
            name=self._name,
            description=(listed.description or listed.title or self._tool)[:_MAX_DESCRIPTION],
            parameters=listed.input_schema if is_small else _ANY_OBJECT,
            has_side_effects=not (listed.annotations and listed.annotations.read_only_hint),
        )

    async def call(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        if context.agent not in self._agents or (self._tenants and context.tenant not in self._tenants):
            return ToolResult(text=f"`{self._name}` is not for this agent.", is_error=True)
        left = context.deadline - asyncio.get_running_loop().time()
        timeout_s = min(self._timeout_s, max(0.0, left))
        try:
            result = await self._server.call(
                self._tool,
                arguments,
                meta={IDEMPOTENCY_KEY: context.idempotency_key},
                timeout_s=timeout_s,
            )
        except TimeoutError:
            return ToolResult(text=f"`{self._name}` took longer than {timeout_s:g} s.", is_error=True)
        except ServerGone as error:
            return ToolResult(text=f"`{self._name}` failed: {error}.", is_error=True)
        except Exception as error:  # the server's own error, or an answer that is not what MCP allows
            text = f"`{self._name}` failed: {_cut(str(error), self._max_result_bytes)}"
            return ToolResult(text=text, is_error=True, is_untrusted=True)
        return self._told(result)

    def _told(self, result: "CallToolResult") -> ToolResult:
        parts: list[str] = []
        artifacts: list[Artifact] = []
        room = self._max_result_bytes
        for block in result.content:
            match block.type:
                case "text":
                    parts.append(block.text)
                case "image" | "audio" if len(block.data) <= room:
                    room -= len(block.data)
                    artifacts.append(_artifact(self._name, len(artifacts), block.mime_type, block.data))
                    parts.append(f"({block.mime_type}, given to the user)")
                case "resource_link":
                    parts.append(f"(resource {block.uri})")
                case "resource" if hasattr(block.resource, "text"):
                    parts.append(block.resource.text)
                case kind:
                    parts.append(f"({kind}, left out)")
        if not parts and result.structured_content is not None:
            parts.append(msgspec.json.encode(result.structured_content).decode())
        return ToolResult(
            text=_cut("\n".join(parts), self._max_result_bytes) or "(no result)",
            is_error=bool(result.is_error),
            is_untrusted=True,
            artifacts=tuple(artifacts),
        )


def function_name(server: str, tool: str) -> str:
    """`server.tool` as OpenAI lets a function be called: at most 64 letters, digits, `_` and `-`."""
    name = f"{server}__{re.sub(r'[^a-zA-Z0-9_-]', '_', tool)}"
    if len(name) <= 64 and name == f"{server}__{tool}":
        return name
    return f"{name[:55]}_{hashlib.sha256(f'{server}.{tool}'.encode()).hexdigest()[:8]}"


def _cut(text: str, max_bytes: int) -> str:
    encoded = text.encode()
    if len(encoded) <= max_bytes:
        return text
    return f"{encoded[:max_bytes].decode(errors='ignore')}\n(cut: the result has {len(encoded)} bytes)"


def _artifact(name: str, number: int, media_type: str, data: str) -> Artifact:
    subtype = re.sub(r"\W", "", media_type.partition("/")[2].partition("+")[0]) or "bin"
    try:
        content = base64.b64decode(data, validate=True)
    except ValueError:
        content = b""
    return Artifact(name=f"{name}-{number + 1}.{subtype}", media_type=media_type, content=content)
