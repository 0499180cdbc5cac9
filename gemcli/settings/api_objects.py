"""The objects that settings consist of: the API's names at every depth, and the types behind them.

Written by hand, because asking the SDK takes half a second. Tests compare the tables with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from gemcli.text import schema
from gemcli.text.problems import Problems
from gemcli.text.proto_json import camel, fields_of, snake
from gemcli.text.schema import FLAG, NUMBER, WHOLE, Kind, Schema, Values, list_of, map_of, scalar
from gemcli.text.tree import Node, Text

OBJECTS = {
    # Tools
    "Tool": """functionDeclarations: FunctionDeclaration*, googleSearch: GoogleSearch,
        googleMaps: GoogleMaps, codeExecution: Empty, urlContext: Empty, fileSearch: FileSearch,
        computerUse: ComputerUse, googleSearchRetrieval: GoogleSearchRetrieval,
        enterpriseWebSearch: EnterpriseWebSearch, retrieval: Retrieval, mcpServers: McpServer*,
        parallelAiSearch: ParallelAiSearch, exaAiSearch: ExaAiSearch""",
    "FunctionDeclaration": """name, description, behavior: Behavior, parameters: Schema,
        parametersJsonSchema: any, response: Schema, responseJsonSchema: any""",
    "GoogleSearch": """searchTypes: SearchTypes, blockingConfidence: PhishBlockThreshold,
        excludeDomains: text*, timeRangeFilter: Interval""",
    "SearchTypes": "webSearch: Empty, imageSearch: Empty",
    "Interval": "startTime, endTime",
    "GoogleMaps": "authConfig: AuthConfig, enableWidget: flag, groundingTypes: GroundingTypes",
    "GroundingTypes": "places: Empty, routing: Empty",
    "FileSearch": "fileSearchStoreNames: text*, topK: whole, metadataFilter",
    "ComputerUse": """environment: Environment, excludedPredefinedFunctions: text*,
        enablePromptInjectionDetection: flag, disabledSafetyPolicies: text*""",
    "GoogleSearchRetrieval": "dynamicRetrievalConfig: DynamicRetrievalConfig",
    "DynamicRetrievalConfig": "mode, dynamicThreshold: number",
    "EnterpriseWebSearch": "excludeDomains: text*, blockingConfidence: PhishBlockThreshold",
    "McpServer": "name, streamableHttpTransport: StreamableHttpTransport",
    "StreamableHttpTransport": """url, headers: text{}, timeout, sseReadTimeout,
        terminateOnClose: flag""",
    "ParallelAiSearch": """apiKey, customConfigs: any, enableDataRetention: flag,
        enableZeroDataRetention: flag""",
    "ExaAiSearch": "apiKey, customConfigs: any",
    "Empty": "",
    # Retrieval (Vertex AI)
    "Retrieval": """disableAttribution: flag, externalApi: ExternalApi,
        vertexAiSearch: VertexAiSearch, vertexRagStore: VertexRagStore""",
    "ExternalApi": """apiSpec, endpoint, apiAuth: ApiAuth, authConfig: AuthConfig,
        elasticSearchParams: ElasticSearchParams, simpleSearchParams: Empty""",
    "ElasticSearchParams": "index, searchTemplate, numHits: whole",
    "ApiAuth": "apiKeyConfig: ApiAuthKeyConfig",
    "ApiAuthKeyConfig": "apiKeySecretVersion, apiKeyString",
    "AuthConfig": """authType, apiKey, apiKeyConfig: ApiKeyConfig,
        googleServiceAccountConfig: ServiceAccountConfig, httpBasicAuthConfig: HttpBasicAuthConfig,
        oauthConfig: OauthConfig, oidcConfig: OidcConfig""",
    "ApiKeyConfig": "name, apiKeySecret, apiKeyString, httpElementLocation",
    "ServiceAccountConfig": "serviceAccount",
    "HttpBasicAuthConfig": "credentialSecret",
    "OauthConfig": "accessToken, serviceAccount",
    "OidcConfig": "idToken, serviceAccount",
    "VertexAiSearch": """datastore, engine, filter, maxResults: whole,
        dataStoreSpecs: DataStoreSpec*""",
    "DataStoreSpec": "dataStore, filter",
    "VertexRagStore": """ragCorpora: text*, ragResources: RagResource*, similarityTopK: whole,
        ragRetrievalConfig: RagRetrievalConfig, storeContext: flag,
        vectorDistanceThreshold: number""",
    "RagResource": "ragCorpus, ragFileIds: text*",
    "RagRetrievalConfig": """topK: whole, filter: RagFilter, hybridSearch: RagHybridSearch,
        ranking: RagRanking""",
    "RagFilter": """metadataFilter, vectorDistanceThreshold: number,
        vectorSimilarityThreshold: number""",
    "RagHybridSearch": "alpha: number",
    "RagRanking": "llmRanker: RankModel, rankService: RankModel",
    "RankModel": "modelName",
    # How tools are called
    "ToolConfig": """functionCallingConfig: FunctionCallingConfig, retrievalConfig: RetrievalConfig,
        includeServerSideToolInvocations: flag""",
    "FunctionCallingConfig": """mode: FunctionCallingMode, allowedFunctionNames: text*,
        streamFunctionCallArguments: flag""",
    "RetrievalConfig": "latLng: LatLng, languageCode",
    "LatLng": "latitude: number, longitude: number",
    # Schemas, in the API's subset of OpenAPI
    "Schema": """type: Type, format, title, description, nullable: flag, enum: text*, items: Schema,
        minItems: long, maxItems: long, properties: Schema{}, required: text*,
        propertyOrdering: text*, minProperties: long, maxProperties: long, minimum: number,
        maximum: number, minLength: long, maxLength: long, pattern, anyOf: Schema*, default: any,
        example: any, additionalProperties: any, defs: Schema{}, ref""",
    # Media
    "SpeechConfig": """languageCode, voiceConfig: VoiceConfig,
        multiSpeakerVoiceConfig: MultiSpeakerVoiceConfig""",
    "VoiceConfig": """voice, prebuiltVoiceConfig: PrebuiltVoiceConfig,
        replicatedVoiceConfig: ReplicatedVoiceConfig""",
    "PrebuiltVoiceConfig": "voiceName",
    "ReplicatedVoiceConfig": """mimeType, voiceSampleAudio: bytes, consentAudio: bytes,
        voiceConsentSignature: VoiceConsentSignature""",
    "VoiceConsentSignature": "signature",
    "MultiSpeakerVoiceConfig": "speakerVoiceConfigs: SpeakerVoiceConfig*",
    "SpeakerVoiceConfig": "speaker, voiceConfig: VoiceConfig",
    "ImageConfig": """aspectRatio, imageSize, personGeneration, prominentPeople, outputMimeType,
        outputCompressionQuality: whole, imageOutputOptions: ImageOutputOptions""",
    "ImageOutputOptions": "mimeType, compressionQuality: whole",
    "AudioTranscriptionConfig": """languageCodes: text*, languageAuto: Empty,
        languageHints: LanguageHints, customVocabulary: text*, adaptationPhrases: text*,
        wordTimestamp: flag, diarization: flag, mode, sourceText""",
    "LanguageHints": "languageCodes: text*",
    # Vertex AI
    "RoutingConfig": "autoMode: AutoRoutingMode, manualMode: ManualRoutingMode",
    "AutoRoutingMode": "modelRoutingPreference",
    "ManualRoutingMode": "modelName",
    "ModelConfig": "featureSelectionPreference",
    "ModelArmorConfig": "promptTemplateName, responseTemplateName",
    "OutputConfig": "outputUriPrefix",
    # Contents: a system instruction, and histories from outside
    "Content": "parts: Part*, role",
    "Part": """text: filled, inlineData: Blob, fileData: FileData, functionCall: FunctionCall,
        functionResponse: FunctionResponse, executableCode: ExecutableCode,
        codeExecutionResult: CodeExecutionResult, toolCall: ToolCall, toolResponse: ToolResponse,
        thought: flag, thoughtSignature: bytes, videoMetadata: any, mediaResolution: any,
        partMetadata: any, audioTranscription: any, mediaProcessing: any, speechMetadata: any,
        documentMetadata: any, spreadsheetMetadata: any, audioMetadata: any""",
    "Blob": "mimeType, data: bytes, displayName",
    "FileData": "mimeType, fileUri, displayName",
    "FunctionCall": "id, name, args: object, partialArgs: any, willContinue: flag",
    "FunctionResponse": """id, name, response: object, parts: FunctionResponsePart*, scheduling,
        willContinue: flag""",
    "FunctionResponsePart": """inlineData: Blob, fileData: FileData, videoMetadata: any,
        mediaResolution: any, mediaProcessing: any, documentMetadata: any,
        spreadsheetMetadata: any, audioMetadata: any""",
    "ExecutableCode": "id, language, code",
    "CodeExecutionResult": "id, outcome, output",
    "ToolCall": "id, toolType, args: object",
    "ToolResponse": "id, toolType, response: object",
    "SafetySetting": "category: HarmCategory, threshold: HarmBlockThreshold, method: HarmMethod",
}
"""The fields of every object, text unless they have a type: `*` is a list, `{}` a mapping."""

ENUMS = {
    "HarmCategory": (
        "HARM_CATEGORY_",
        """UNSPECIFIED HARASSMENT HATE_SPEECH SEXUALLY_EXPLICIT DANGEROUS_CONTENT CIVIC_INTEGRITY
        JAILBREAK IMAGE_HATE IMAGE_DANGEROUS_CONTENT IMAGE_HARASSMENT IMAGE_SEXUALLY_EXPLICIT""",
    ),
    "HarmBlockThreshold": (
        "BLOCK_",
        """=HARM_BLOCK_THRESHOLD_UNSPECIFIED LOW_AND_ABOVE MEDIUM_AND_ABOVE ONLY_HIGH NONE =OFF""",
    ),
    "HarmMethod": ("", "HARM_BLOCK_METHOD_UNSPECIFIED SEVERITY PROBABILITY"),
    "ThinkingLevel": ("", "THINKING_LEVEL_UNSPECIFIED MINIMAL LOW MEDIUM HIGH XHIGH"),
    "Modality": ("", "MODALITY_UNSPECIFIED TEXT IMAGE AUDIO VIDEO"),
    "MediaResolution": ("MEDIA_RESOLUTION_", "UNSPECIFIED LOW MEDIUM HIGH"),
    "ServiceTier": ("", "unspecified flex standard priority"),
    "FunctionCallingMode": ("", "MODE_UNSPECIFIED AUTO ANY NONE VALIDATED"),
    "Type": ("", "TYPE_UNSPECIFIED STRING NUMBER INTEGER BOOLEAN ARRAY OBJECT NULL"),
    "Behavior": ("", "UNSPECIFIED BLOCKING NON_BLOCKING"),
    "Environment": ("ENVIRONMENT_", "UNSPECIFIED BROWSER MOBILE DESKTOP"),
    "PhishBlockThreshold": (
        "",
        """PHISH_BLOCK_THRESHOLD_UNSPECIFIED BLOCK_LOW_AND_ABOVE BLOCK_MEDIUM_AND_ABOVE
        BLOCK_HIGH_AND_ABOVE BLOCK_HIGHER_AND_ABOVE BLOCK_VERY_HIGH_AND_ABOVE
        BLOCK_ONLY_EXTREMELY_HIGH""",
    ),
}
"""The API's enums: the prefix of their names, and the rest of each (`=` marks a whole name)."""


def names_of(enum: str) -> list[str]:
    """The names of an enum, as the API writes them."""
    prefix, words = ENUMS[enum]
    return [word[1:] if word[0] == "=" else prefix + word for word in words.split()]


@cache
def fields_in(kind: str) -> Mapping[str, str]:
    """The fields of an object of the API and their kinds, none if it is no such object."""
    return fields_of(OBJECTS[kind]) if kind in OBJECTS else {}


def wire_form(value: Any, kind: str = "Content") -> Any:
    """A value as the API has it: in camelCase and without null, down to what is the user's own.

    To the API a field that is null is left out, and `function_call` is another name of
    `functionCall`. The SDK's `model_dump` writes both.
    """
    if kind.endswith("*") and isinstance(value, list):
        return [wire_form(item, kind[:-1]) for item in value]
    if kind not in OBJECTS or not isinstance(value, dict):
        return value
    fields = fields_in(kind)
    formed: dict[str, object] = {}
    for key, inner in value.items():
        if inner is None:
            continue
        name = key if key in fields else camel(key)
        if name not in fields or (name != key and name in value):
            name = key
        formed[name] = wire_form(inner, fields.get(name, "any"))
    return formed


def aliases(names: Mapping[str, Any]) -> dict[str, str]:
    """The SDK's name of each of the API's names."""
    return {snake(name): name for name in names}


def kind_of(written: str) -> Kind[object]:
    """The kind of a type as the tables write it: `text`, `Tool`, `Tool*`, `Schema{}`."""
    if written.endswith("*"):
        return list_of(kind_of(written[:-1]))
    if written.endswith("{}"):
        return map_of(PLAIN["text"], kind_of(written[:-2]))
    if written in ENUMS:
        noun = snake(written).strip("_").replace("_", " ")
        article = "an" if noun[0] in "aeiou" else "a"
        return schema.enum(f"{article} {noun}", names_of(written), ENUMS[written][0])
    return PLAIN.get(written) or api_object(written)


def api_object(name: str) -> Kind[Values]:
    """The kind of an object of the table, made on first use: a Schema has Schemas in it."""

    def read(problems: Problems, label: str, node: Node) -> Values | None:
        return _schema_of(name)(problems, label, node)

    return read


@cache
def _schema_of(name: str) -> Schema[Values]:
    kinds = {key: kind_of(kind) for key, kind in fields_in(name).items()}
    return Schema(dict, kinds, aliases=aliases(kinds), elsewhere=ELSEWHERE.get(name, {}))


ELSEWHERE = {"FunctionDeclaration": {"command": "commands are only for a file that --tools names"}}
"""Keys of objects that people look for, and where they belong."""


def _long(node: Text) -> int | str:
    """A 64-bit integer, which JSON may have in quotes."""
    if not re.fullmatch("-?[0-9]{1,19}", node):
        raise ValueError
    return int(node) if node.plain else str(node)


PLAIN: dict[str, Kind[object]] = {
    "text": scalar("text", lambda node: str(schema.to_text(node))),
    "filled": schema.FILLED_TEXT,
    "flag": FLAG,
    "number": NUMBER,
    "whole": WHOLE,
    "long": scalar("a whole number", _long),
    "bytes": schema.BASE64,
    "object": schema.any_object,
    "any": schema.any_value,
}
