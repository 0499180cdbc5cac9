"""Replay: scripted conversations, sent message by message, resumed where they stopped.

A script is read whole and checked (`recognise`, `grammar`, `script`) before anything is sent; then
`run` plays it turn by turn (`template`, `checks`) with the same `exchange` as `send`, and tells
what happens (`events`). Nothing outside this package and its command imports it.
"""
