"""Replay: scripted conversations, sent message by message, resumed where they stopped.

A script is read and checked as a whole before anything is sent. Then `run` plays its conversations
turn by turn: `plan` says what each turn would send, `conversation` finds the stored answer or sends
the message as `send` does, `checks` judge the answer, `events` report it.
"""
