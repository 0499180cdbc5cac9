"""The model side: credentials, HTTP, the SDK, streams, errors of the API, retries."""
