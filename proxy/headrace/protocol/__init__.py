"""Sans-io codecs between bytes and values.

Targets (`target`), errors (`errors`), search bodies (`search`), index settings (`index_settings`), compressed
bodies (`encoding`), media types of Elasticsearch (`media`).
"""
