"""The messages of a request as tables: which fields there are, and of which kind.

A kind is another message or enum of these tables, or a plain one: `text`, `bytes` (base64),
`boolean`, `number`, `integer`, `struct` (any JSON object) or `data` (any JSON); `*` marks a list.
What belongs to the user (arguments, responses, schemas) is `struct` or `data` and never looked
into. The fields are those of https://ai.google.dev/api/generate-content and of google-genai; a test
compares them with the types of the latter.
"""

from __future__ import annotations

from gemcli.text.proto_json import fields_of

_PART_DATA = """text, inlineData: Blob, fileData: FileData, functionCall: FunctionCall,
    functionResponse: FunctionResponse, executableCode: ExecutableCode,
    codeExecutionResult: CodeExecutionResult, toolCall: struct, toolResponse: struct"""
_MESSAGES = {
    "GenerateContentRequest": """model, contents: Content*, systemInstruction: Content,
        generationConfig: GenerationConfig, tools: Tool*, toolConfig: ToolConfig,
        safetySettings: SafetySetting*, cachedContent, labels: data, serviceTier, store: boolean,
        continuationToken: data""",
    "CountTokensRequest": """model, contents: Content*,
        generateContentRequest: GenerateContentRequest""",
    "Content": "role, parts: Part*",
    "Part": f"""{_PART_DATA}, thought: boolean, thoughtSignature: bytes, videoMetadata: data,
        mediaResolution: data, partMetadata: data, audioTranscription: data, mediaProcessing: data,
        speechMetadata: data, documentMetadata: data, spreadsheetMetadata: data,
        audioMetadata: data""",
    "Blob": "mimeType, data: bytes, displayName",
    "FileData": "mimeType, fileUri, displayName",
    "FunctionCall": "id, name, args: struct, partialArgs: data, willContinue: boolean",
    "FunctionResponse": """id, name, response: struct, parts: data, scheduling,
        willContinue: boolean""",
    "ExecutableCode": "id, language, code",
    "CodeExecutionResult": "id, outcome, output",
    "GenerationConfig": """temperature: number, topP: number, topK: number, presencePenalty: number,
        frequencyPenalty: number, candidateCount: integer, maxOutputTokens: integer, seed: integer,
        logprobs: integer, responseLogprobs: boolean, audioTimestamp: boolean,
        enableEnhancedCivicAnswers: boolean, enableAffectiveDialog: boolean, responseMimeType,
        mediaResolution, stopSequences: text*, responseModalities: text*,
        thinkingConfig: ThinkingConfig, responseSchema: data, responseJsonSchema: data,
        responseFormat: data, speechConfig: data, imageConfig: data, routingConfig: data,
        modelSelectionConfig: data, translationConfig: data, audioTranscriptionConfig: data""",
    "ThinkingConfig": """includeThoughts: boolean, thinkingBudget: integer,
        thinkingLevel: ThinkingLevel""",
    "Tool": """functionDeclarations: FunctionDeclaration*, googleSearch: data,
        googleSearchRetrieval: data, googleMaps: data, codeExecution: data, urlContext: data,
        fileSearch: data, computerUse: data, retrieval: data, enterpriseWebSearch: data,
        parallelAiSearch: data, exaAiSearch: data, mcpServers: data""",
    "FunctionDeclaration": """name, description, behavior, parameters: data,
        parametersJsonSchema: data, response: data, responseJsonSchema: data""",
    "ToolConfig": """functionCallingConfig: FunctionCallingConfig, retrievalConfig: data,
        includeServerSideToolInvocations: boolean""",
    "FunctionCallingConfig": """mode: FunctionCallingMode, allowedFunctionNames: text*,
        streamFunctionCallArguments: boolean""",
    "SafetySetting": "category, threshold, method",
}

PART_DATA = fields_of(_PART_DATA)
"""What a Part can hold: exactly one of these."""

MESSAGES = {name: fields_of(written) for name, written in _MESSAGES.items()}
"""Every message of a request: its fields in camelCase and their kinds."""

ENUMS = {
    "ThinkingLevel": {"THINKING_LEVEL_UNSPECIFIED", "MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH"},
    "FunctionCallingMode": {"MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"},
}
"""The enums whose values are checked."""
