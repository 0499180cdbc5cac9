"""The messages of a request as tables: which fields there are, and of which kind.

A kind is another message or enum of these tables, or a plain one: `text`, `bytes` (base64),
`boolean`, `number`, `integer`, `struct` (any JSON object) or `data` (any JSON). `*` marks a list,
`{}` a map from the user's names. What belongs to the user (arguments, responses, JSON schemas) is
`struct` or `data` and never looked into. The fields are those of
https://ai.google.dev/api/generate-content and of google-genai; a test compares them with the types
of the latter.
"""

from __future__ import annotations

from gemcli.text.proto_json import fields_of

_PART_DATA = """text, inlineData: Blob, fileData: FileData, functionCall: FunctionCall,
    functionResponse: FunctionResponse, executableCode: ExecutableCode,
    codeExecutionResult: CodeExecutionResult, toolCall: ToolCall, toolResponse: ToolResponse"""
_MESSAGES = {
    "GenerateContentRequest": """model, contents: Content*, systemInstruction: Content,
        generationConfig: GenerationConfig, tools: Tool*, toolConfig: ToolConfig,
        safetySettings: SafetySetting*, cachedContent, labels: data, serviceTier: ServiceTier,
        store: boolean,
        continuationToken: bytes""",
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
    "FunctionResponse": """id, name, response: struct, parts: FunctionResponsePart*,
        scheduling: FunctionResponse.Scheduling, willContinue: boolean""",
    "FunctionResponsePart": """inlineData: FunctionResponseBlob,
        fileData: FunctionResponseFileData, mediaProcessing: data, mediaResolution: data,
        videoMetadata: data, documentMetadata: data, spreadsheetMetadata: data,
        audioMetadata: data""",
    "FunctionResponseBlob": "mimeType, data: bytes, displayName",
    "FunctionResponseFileData": "mimeType, fileUri, displayName",
    "ToolCall": "id, toolType: ToolType, args: struct",
    "ToolResponse": "id, toolType: ToolType, response: struct",
    "ExecutableCode": "id, language: ExecutableCode.Language, code",
    "CodeExecutionResult": "id, outcome: CodeExecutionResult.Outcome, output",
    "GenerationConfig": """temperature: number, topP: number, topK: number, presencePenalty: number,
        frequencyPenalty: number, candidateCount: integer, maxOutputTokens: integer, seed: integer,
        logprobs: integer, responseLogprobs: boolean, audioTimestamp: boolean,
        enableEnhancedCivicAnswers: boolean, enableAffectiveDialog: boolean, responseMimeType,
        mediaResolution: GenerationConfig.MediaResolution, stopSequences: text*,
        responseModalities: GenerationConfig.Modality*, thinkingConfig: ThinkingConfig,
        responseSchema: Schema, responseJsonSchema: data,
        responseFormat: data, speechConfig: data, imageConfig: data, routingConfig: data,
        modelSelectionConfig: data, translationConfig: data, audioTranscriptionConfig: data""",
    "ThinkingConfig": """includeThoughts: boolean, thinkingBudget: integer,
        thinkingLevel: ThinkingLevel""",
    "Tool": """functionDeclarations: FunctionDeclaration*, googleSearch: data,
        googleSearchRetrieval: data, googleMaps: data, codeExecution: data, urlContext: data,
        fileSearch: data, computerUse: data, retrieval: data, enterpriseWebSearch: data,
        parallelAiSearch: data, exaAiSearch: data, mcpServers: data""",
    "FunctionDeclaration": """name, description, behavior: FunctionDeclaration.Behavior,
        parameters: Schema, parametersJsonSchema: data, response: Schema,
        responseJsonSchema: data""",
    "Schema": """type: Type, format, title, description, nullable: boolean, enum: text*,
        items: Schema, minItems: integer, maxItems: integer, properties: Schema{}, required: text*,
        propertyOrdering: text*, minProperties: integer, maxProperties: integer, minimum: number,
        maximum: number, minLength: integer, maxLength: integer, pattern, anyOf: Schema*,
        default: data, example: data, additionalProperties: data, defs: Schema{}, ref""",
    "ToolConfig": """functionCallingConfig: FunctionCallingConfig, retrievalConfig: data,
        includeServerSideToolInvocations: boolean""",
    "FunctionCallingConfig": """mode: FunctionCallingConfig.Mode, allowedFunctionNames: text*,
        streamFunctionCallArguments: boolean""",
    "SafetySetting": """category: HarmCategory, threshold: SafetySetting.HarmBlockThreshold,
        method""",
}

PART_DATA = fields_of(_PART_DATA)
"""What a Part can hold: exactly one of these."""

MESSAGES = {name: fields_of(written) for name, written in _MESSAGES.items()}
"""Every message of a request: its fields in camelCase and their kinds."""

_ENUMS = {
    "CodeExecutionResult.Outcome": """OUTCOME_UNSPECIFIED OUTCOME_OK OUTCOME_FAILED
        OUTCOME_DEADLINE_EXCEEDED""",
    "ExecutableCode.Language": "LANGUAGE_UNSPECIFIED PYTHON",
    "FunctionCallingConfig.Mode": "MODE_UNSPECIFIED AUTO ANY NONE VALIDATED",
    "FunctionDeclaration.Behavior": "UNSPECIFIED BLOCKING NON_BLOCKING",
    "FunctionResponse.Scheduling": "SCHEDULING_UNSPECIFIED SILENT WHEN_IDLE INTERRUPT",
    "GenerationConfig.MediaResolution": """MEDIA_RESOLUTION_UNSPECIFIED MEDIA_RESOLUTION_LOW
        MEDIA_RESOLUTION_MEDIUM MEDIA_RESOLUTION_HIGH""",
    "GenerationConfig.Modality": "MODALITY_UNSPECIFIED TEXT IMAGE AUDIO VIDEO",
    "HarmCategory": """HARM_CATEGORY_UNSPECIFIED HARM_CATEGORY_HARASSMENT HARM_CATEGORY_HATE_SPEECH
        HARM_CATEGORY_SEXUALLY_EXPLICIT HARM_CATEGORY_DANGEROUS_CONTENT
        HARM_CATEGORY_CIVIC_INTEGRITY HARM_CATEGORY_JAILBREAK HARM_CATEGORY_IMAGE_HATE
        HARM_CATEGORY_IMAGE_DANGEROUS_CONTENT HARM_CATEGORY_IMAGE_HARASSMENT
        HARM_CATEGORY_IMAGE_SEXUALLY_EXPLICIT HARM_CATEGORY_DEROGATORY HARM_CATEGORY_TOXICITY
        HARM_CATEGORY_VIOLENCE HARM_CATEGORY_SEXUAL HARM_CATEGORY_MEDICAL
        HARM_CATEGORY_DANGEROUS""",
    "SafetySetting.HarmBlockThreshold": """HARM_BLOCK_THRESHOLD_UNSPECIFIED BLOCK_LOW_AND_ABOVE
        BLOCK_MEDIUM_AND_ABOVE BLOCK_ONLY_HIGH BLOCK_NONE OFF""",
    "ServiceTier": "UNSPECIFIED FLEX STANDARD PRIORITY",
    "ThinkingLevel": "THINKING_LEVEL_UNSPECIFIED MINIMAL LOW MEDIUM HIGH XHIGH",
    "ToolType": """TOOL_TYPE_UNSPECIFIED GOOGLE_SEARCH_WEB GOOGLE_SEARCH_IMAGE URL_CONTEXT
        GOOGLE_MAPS FILE_SEARCH MEDIA_PROCESSING""",
    "Type": "TYPE_UNSPECIFIED STRING NUMBER INTEGER BOOLEAN ARRAY OBJECT NULL",
}

ENUMS = {name: frozenset(written.split()) for name, written in _ENUMS.items()}
"""The enums whose values are checked, by the names that errors have for them."""
