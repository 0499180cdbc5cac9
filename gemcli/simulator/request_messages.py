"""The request messages of the API as tables: which fields there are, and of which kind.

A kind is the name of another message or enum below, or a plain one: `string`, `bytes` (base64),
`boolean`, `number`, `integer`, `struct` (any JSON object) or `data` (any JSON). What belongs to the
user (arguments, responses, schemas) is `struct` or `data`, and is never looked into.
"""

from __future__ import annotations


def _data(*lines: str) -> dict[str, str]:
    """Fields that are taken as they come."""
    return dict.fromkeys(" ".join(lines).split(), "data")


PART_DATA = {
    "text": "string",
    "inlineData": "Blob",
    "fileData": "FileData",
    "functionCall": "FunctionCall",
    "functionResponse": "FunctionResponse",
    "executableCode": "ExecutableCode",
    "codeExecutionResult": "CodeExecutionResult",
    "toolCall": "struct",
    "toolResponse": "struct",
}
"""What a Part can hold: exactly one of these."""

_PART_MARKS = {
    "thought": "boolean",
    "thoughtSignature": "bytes",
    **_data(
        "videoMetadata mediaResolution partMetadata audioTranscription mediaProcessing",
        "speechMetadata documentMetadata spreadsheetMetadata audioMetadata",
    ),
}

MESSAGES: dict[str, dict[str, str]] = {
    "GenerateContentRequest": {
        "model": "string",
        "contents": "Content*",
        "systemInstruction": "Content",
        "generationConfig": "GenerationConfig",
        "tools": "Tool*",
        "toolConfig": "ToolConfig",
        "safetySettings": "SafetySetting*",
        "cachedContent": "string",
        "labels": "data",
        "serviceTier": "string",
        "store": "boolean",
        "continuationToken": "data",
    },
    "CountTokensRequest": {
        "model": "string",
        "contents": "Content*",
        "generateContentRequest": "GenerateContentRequest",
    },
    "Content": {"role": "string", "parts": "Part*"},
    "Part": PART_DATA | _PART_MARKS,
    "Blob": {"mimeType": "string", "data": "bytes", "displayName": "string"},
    "FileData": {"mimeType": "string", "fileUri": "string", "displayName": "string"},
    "FunctionCall": {
        "id": "string",
        "name": "string",
        "args": "struct",
        "partialArgs": "data",
        "willContinue": "boolean",
    },
    "FunctionResponse": {
        "id": "string",
        "name": "string",
        "response": "struct",
        "parts": "data",
        "scheduling": "string",
        "willContinue": "boolean",
    },
    "ExecutableCode": {"id": "string", "language": "string", "code": "string"},
    "CodeExecutionResult": {"id": "string", "outcome": "string", "output": "string"},
    "GenerationConfig": {
        "temperature": "number",
        "topP": "number",
        "topK": "number",
        "candidateCount": "integer",
        "maxOutputTokens": "integer",
        "stopSequences": "string*",
        "seed": "integer",
        "presencePenalty": "number",
        "frequencyPenalty": "number",
        "responseLogprobs": "boolean",
        "logprobs": "integer",
        "responseMimeType": "string",
        "responseModalities": "string*",
        "mediaResolution": "string",
        "thinkingConfig": "ThinkingConfig",
        "audioTimestamp": "boolean",
        "enableEnhancedCivicAnswers": "boolean",
        "enableAffectiveDialog": "boolean",
        **_data(
            "responseSchema responseJsonSchema responseFormat speechConfig imageConfig",
            "routingConfig modelSelectionConfig translationConfig audioTranscriptionConfig",
        ),
    },
    "ThinkingConfig": {
        "includeThoughts": "boolean",
        "thinkingBudget": "integer",
        "thinkingLevel": "ThinkingLevel",
    },
    "Tool": {
        "functionDeclarations": "FunctionDeclaration*",
        **_data(
            "googleSearch googleSearchRetrieval googleMaps codeExecution urlContext fileSearch",
            "computerUse retrieval enterpriseWebSearch parallelAiSearch exaAiSearch mcpServers",
        ),
    },
    "FunctionDeclaration": {
        "name": "string",
        "description": "string",
        "behavior": "string",
        "parameters": "data",
        "parametersJsonSchema": "data",
        "response": "data",
        "responseJsonSchema": "data",
    },
    "ToolConfig": {
        "functionCallingConfig": "FunctionCallingConfig",
        "retrievalConfig": "data",
        "includeServerSideToolInvocations": "boolean",
    },
    "FunctionCallingConfig": {
        "mode": "FunctionCallingMode",
        "allowedFunctionNames": "string*",
        "streamFunctionCallArguments": "boolean",
    },
    "SafetySetting": {"category": "string", "threshold": "string", "method": "string"},
}
"""Every message of a request: its fields in camelCase and their kinds.

`*` marks a repeated field.
"""

ENUMS = {
    "ThinkingLevel": {"THINKING_LEVEL_UNSPECIFIED", "MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH"},
    "FunctionCallingMode": {"MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"},
}
"""The enums whose names are checked."""
