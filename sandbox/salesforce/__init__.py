"""A simulated Salesforce org over real HTTP, for the demo, the tests and a newcomer.

========================  =====================================================================
``state.SalesforceState``  the org in process: act as a person, look, plan trouble (``.faults``)
``app.create_app``         the same org as an ASGI app: OAuth, REST, control surface
``org``, ``store``, ...    rows in memory with undo, written through to SQLite
``schema``, ``standard_objects``  objects and fields as data tables
``dml``, ``incoming``, ``derived``  what a write checks and sets
``soql/``                  text to syntax tree to rows
``rest``, ``routes``, ``rest_*``  one function for each REST resource
``control``                the JSON calls under ``/__sandbox__/``; ``GET /__sandbox__/`` lists them
========================  =====================================================================

Not simulated: Bulk, Streaming and Metadata APIs, search, record types, sharing beyond single
hidden records, formula fields, triggers and flows, field history, date functions in SOQL.
"""
