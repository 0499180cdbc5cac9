"""A small, strict imitation of the Gemini API's wire protocol, for trials without a key and tests.

`simulated_api` is the API as one pure function, from a request to a reply. It is served in two
ways: `transport` runs it in this process under an HTTP client, with no socket, and `server` over
loopback HTTP. Its models are `echo_model`, which says what it was sent, and `rules_model`, which
replies as a rules file says (`rules`).

A request goes through `read_request` (its fields), `request_checks` (limits of settings),
`contents_checks` (turn order) and `gemini_3` (signatures) to a model, whose answer comes back
through `responses`, `streams` and `replies`. Where a long answer goes on is in the token of the
request (`continuation`). What is refused is an `ApiError` of `api_errors`. Nothing is imported
here, so that naming the package costs nothing.
"""
