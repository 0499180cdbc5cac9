"""Requests: made from a message and the history, sent until they are answered, and recorded.

`exchange` is made of these: `prepare_request` says what to send, `hop` records it and has
`call_model` send it.
"""
