"""The messages of a request as tables: which fields there are, and of which kind.

A kind is the name of another message or enum of these tables, or a plain one: `string`, `bytes`
(base64), `boolean`, `number`, `integer`, `struct` (any JSON object) or `data` (any JSON); `*` marks
a list. What belongs to the user (arguments, responses, schemas) is `struct` or `data` and is never
looked into. The fields are those of https://ai.google.dev/api/generate-content and of google-genai;
a test holds them against the types of the latter.
"""

from __future__ import annotations


def _all(kind: str, *names: str) -> dict[str, str]:
    """Fields of one kind."""
    return dict.fromkeys(" ".join(names).split(), kind)


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
    "Part": {
        **PART_DATA,
        "thought": "boolean",
        "thoughtSignature": "bytes",
        **_all(
            "data",
            "videoMetadata mediaResolution partMetadata audioTranscription mediaProcessing",
            "speechMetadata documentMetadata spreadsheetMetadata audioMetadata",
        ),
    },
    "Blob": {"mimeType": "string", "data": "bytes", "displayName": "string"},
    "FileData": _all("string", "mimeType fileUri displayName"),
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
    "ExecutableCode": _all("string", "id language code"),
    "CodeExecutionResult": _all("string", "id outcome output"),
    "GenerationConfig": {
        **_all("number", "temperature topP topK presencePenalty frequencyPenalty"),
        **_all("integer", "candidateCount maxOutputTokens seed logprobs"),
        **_all("boolean", "responseLogprobs audioTimestamp"),
        **_all("boolean", "enableEnhancedCivicAnswers enableAffectiveDialog"),
        **_all("string", "responseMimeType mediaResolution"),
        **_all("string*", "stopSequences responseModalities"),
        "thinkingConfig": "ThinkingConfig",
        **_all(
            "data",
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
        **_all(
            "data",
            "googleSearch googleSearchRetrieval googleMaps codeExecution urlContext fileSearch",
            "computerUse retrieval enterpriseWebSearch parallelAiSearch exaAiSearch mcpServers",
        ),
    },
    "FunctionDeclaration": {
        **_all("string", "name description behavior"),
        **_all("data", "parameters parametersJsonSchema response responseJsonSchema"),
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
    "SafetySetting": _all("string", "category threshold method"),
}
"""Every message of a request: its fields in camelCase and their kinds."""

ENUMS = {
    "ThinkingLevel": {"THINKING_LEVEL_UNSPECIFIED", "MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH"},
    "FunctionCallingMode": {"MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"},
}
"""The enums whose values are checked."""
