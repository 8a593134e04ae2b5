"""The one contract both services speak: chat types, headers, events, keys, errors.

The modules here are pure and need nothing but msgspec. `cloud.wire.service` beside them is how a
process serves and calls that contract over HTTP. The edge imports nothing else of `cloud`.
"""
