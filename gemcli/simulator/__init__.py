"""A small, strict imitation of the Gemini API's wire protocol, to try things without a key and to test with.

`app` holds the application, a pure function from request to reply. It is mounted twice: `transport`
runs it in process under an HTTP client, with no socket, and `server` serves it over loopback HTTP.
Its models are `echo`, which says what it was sent, and `player`, which replies as a rules file says
(`rules` explains those). Nothing is imported here, so that naming the package costs nothing.
"""
