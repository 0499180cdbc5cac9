"""Send: what the command of that name promises, beyond one exchange.

`choose_request` says what to begin with: a message, responses, or what the last turn waits for.
`send_message` does it: in a session that may have to be made, and only once if asked to.
`print_reply` prints what comes of it.
"""
