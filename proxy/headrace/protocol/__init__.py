"""Sans-io codecs between bytes and values.

Targets (`target`), URL parameters of each surface (`parameters`), endpoints without documents (`endpoints`), errors
(`errors`), search bodies (`search`), index settings (`index_settings`), compressed bodies (`encoding`), sealed cursors
(`cursors`), ids of points in time (`pit_id`), the cluster's pipelines as ours (`importing`), media types (`media`),
names of indexes (`indices`).
"""
