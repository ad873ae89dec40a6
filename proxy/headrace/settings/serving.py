"""The settings of serving: addresses, rights, pipelines and limits."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from headrace.settings.facts import ADDRESSES, BODIES, FINALS, LIMITS, PIPELINES, PROCESS, RIGHTS, about

Answer = Literal["refuse", "allow"]


class ServingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The settings of serving, of rights and of limits. Durations and sizes are texts in OpenSearch's units."""

    upstream: Annotated[
        str,
        about(ADDRESSES, "The nodes of the cluster, separated by commas: scheme, host and port of each."),
    ] = "http://127.0.0.1:9200"
    listen: Annotated[str, about(ADDRESSES, "The address of the proxy: host:port.", "address", restart=True)] = (
        "127.0.0.1:9280"
    )
    advertise: Annotated[
        str,
        about(
            ADDRESSES,
            "The address (`host:port`) by which clients reach the proxy, or the load balancer before it.",
        ),
    ] = ""
    allowed_hosts: Annotated[
        str,
        about(
            ADDRESSES,
            "Names by which clients may call a proxy on a loopback address for `/_pipeline`, `/_udf` and metrics, "
            "separated by commas (`*`: any), beside `localhost`, loopback addresses and `advertise`.",
        ),
    ] = ""
    metrics_listen: Annotated[
        str, about(ADDRESSES, "An address (`host:port`) for metrics alone.", "address", restart=True)
    ] = ""
    ui_listen: Annotated[
        str,
        about(
            ADDRESSES,
            "An address (`host:port`, or a port of loopback) for the page `/_proxy/ui/`.",
            "address",
            restart=True,
        ),
    ] = ""
    tls_cert: Annotated[
        str,
        about(ADDRESSES, "The certificate chain of the proxy, a PEM file; with it the proxy speaks HTTPS.", "file"),
    ] = ""
    tls_key: Annotated[
        str,
        about(ADDRESSES, "The key of `tls_cert`, a PEM file. Empty: the key is in the file of the chain.", "file"),
    ] = ""
    tls_client_ca: Annotated[
        str,
        about(
            ADDRESSES,
            "A PEM file of authorities: only clients with a certificate of one of them may connect.",
            "file",
        ),
    ] = ""
    upstream_ca: Annotated[
        str,
        about(
            ADDRESSES,
            "A PEM file of the authorities of the cluster's certificates. Empty: those of the system.",
            "file",
        ),
    ] = ""
    upstream_cert: Annotated[
        str, about(ADDRESSES, "The certificate chain that the proxy shows to the cluster, a PEM file.", "file")
    ] = ""
    upstream_key: Annotated[
        str, about(ADDRESSES, "The key of `upstream_cert`. Empty: it is in the file of the chain.", "file")
    ] = ""
    upstream_verify: Annotated[
        bool, about(ADDRESSES, "`false` accepts any certificate of the cluster: for tests only.")
    ] = True
    state_dir: Annotated[
        str,
        about(
            RIGHTS,
            "The folder for the copy of the registry and for compiled UDFs, with one subfolder per cluster.",
            "folder",
            restart=True,
        ),
    ] = ""
    secrets_dir: Annotated[
        str,
        about(RIGHTS, "A folder with a file for each secret, which has the name of its setting.", "folder"),
    ] = ""
    registry_index: Annotated[
        str, about(RIGHTS, "The hidden index that holds pipelines, UDFs and associations.", restart=True)
    ] = ".headrace-registry"
    registry_user: Annotated[str, about(RIGHTS, "The user for the registry's own traffic.")] = ""
    registry_password: Annotated[str, about(RIGHTS, "The password of `registry_user`.", "secret")] = ""
    registry_secret: Annotated[
        str, about(RIGHTS, "The secret that signs the documents of the registry index.", "secret")
    ] = ""
    registry_adopt_unsigned: Annotated[
        bool,
        about(
            RIGHTS,
            "`true`, for one start, signs a registry that this proxy cannot verify: one from before signatures, one "
            "whose secret is lost, or one with missing documents.",
            restart=True,
        ),
    ] = False
    registry_poll: Annotated[
        str, about(RIGHTS, "The interval of questions to the cluster about changes.", "duration")
    ] = "500ms"
    admin_token: Annotated[
        str,
        about(
            RIGHTS,
            "If set, changing or running pipelines needs it in the header `X-Headrace-Admin-Token`.",
            "secret",
        ),
    ] = ""
    admin_roles: Annotated[
        str,
        about(
            RIGHTS,
            "Roles, separated by commas, of which a caller needs one to change, run or attach pipelines, where the "
            "cluster has the security plugin of OpenSearch 2.",
        ),
    ] = "all_access"
    cursor_secret: Annotated[
        str,
        about(RIGHTS, "The secret that seals the ids of scrolls, points in time and asynchronous searches.", "secret"),
    ] = ""
    dead_letter_user: Annotated[
        str,
        about(RIGHTS, "The user that writes dead letters."),
    ] = ""
    dead_letter_password: Annotated[str, about(RIGHTS, "The password of `dead_letter_user`.", "secret")] = ""
    document_pipeline: Annotated[str, about(PIPELINES, "The document pipeline of all indexes without another one.")] = (
        ""
    )
    query_pipeline: Annotated[str, about(PIPELINES, "The query pipeline of all indexes without another one.")] = ""
    result_pipeline: Annotated[str, about(PIPELINES, "The result pipeline of all indexes without another one.")] = ""
    conflict: Annotated[
        Literal["warn", "error"],
        about(
            PIPELINES,
            "The result of a search over indexes with different default pipelines. `warn`: none runs, and the "
            "response says so. `error`: a 400.",
        ),
    ] = "warn"
    by_query: Annotated[
        Literal["warn", "refuse"],
        about(
            PIPELINES,
            "The result of `_update_by_query` and `_reindex` where the target has a default document pipeline, which "
            "cannot run on documents that never leave the cluster: `warn` or `refuse`.",
        ),
    ] = "warn"
    elasticsearch_compat: Annotated[
        bool, about(PIPELINES, "`true` lets clients of Elasticsearch 7 to 9 use OpenSearch.")
    ] = False
    masked_queries: Annotated[
        Answer,
        about(
            FINALS,
            "`allow` or `refuse`: queries about values of fields that a final or protecting result pipeline hides.",
        ),
    ] = "allow"
    masked_aggregations: Annotated[
        Answer,
        about(
            FINALS,
            "`refuse` or `allow`: aggregations over fields that a final or protecting result pipeline hides.",
        ),
    ] = "refuse"
    search_processors: Annotated[
        Answer,
        about(
            FINALS,
            "`refuse` or `allow`: searches that name or bring a search pipeline of the cluster where a final result "
            "pipeline hides fields.",
        ),
    ] = "refuse"
    unknown_requests: Annotated[
        Answer,
        about(
            FINALS,
            "`refuse` or `allow`: endpoints that this version does not know (those of plugins, for example) while a "
            "final or protecting pipeline is attached anywhere.",
        ),
    ] = "refuse"
    cluster_ingest_pipelines: Annotated[
        Answer,
        about(
            FINALS,
            "`allow` or `refuse`: writes that name an ingest pipeline of the cluster while a final document pipeline "
            "is attached to any index.",
        ),
    ] = "allow"
    max_body: Annotated[
        str,
        about(
            BODIES,
            "The largest inflated body that a pipeline reads, and the largest bulk that is forwarded after growth.",
            "size",
        ),
    ] = "100mb"
    max_request_line: Annotated[
        str,
        about(
            BODIES,
            "The longest request line that the nodes accept (their `http.max_initial_line_length`).",
            "size",
            restart=True,
        ),
    ] = "4kb"
    max_request_headers: Annotated[
        str,
        about(
            BODIES,
            "The most bytes of headers that the nodes accept (their `http.max_header_size`).",
            "size",
            restart=True,
        ),
    ] = "16kb"
    body_memory: Annotated[
        str, about(BODIES, "The bytes of request bodies that are held at once for pipelines.", "size")
    ] = "512mb"
    client_timeout: Annotated[
        str,
        about(
            BODIES,
            "The time of a client for a body that is read, plus a second for every 64 KiB; then 408.",
            "duration",
        ),
    ] = "60s"
    upstream_health_interval: Annotated[
        str,
        about(BODIES, "The interval of health checks of several nodes: `GET /` without credentials.", "duration"),
    ] = "5s"
    upstream_connect_timeout: Annotated[str, about(BODIES, "The time for a connection to a node.", "duration")] = "10s"
    upstream_timeout: Annotated[
        str,
        about(
            BODIES,
            "The time that the cluster may be silent within an exchange, or accept nothing of a long body; then 504.",
            "duration",
        ),
    ] = "300s"
    pipeline_timeout: Annotated[str, about(LIMITS, "The deadline for all pipelines of one request.", "duration")] = (
        "30s"
    )
    udf_timeout: Annotated[
        str, about(LIMITS, "The time for one document of a UDF that asks for nothing else.", "duration")
    ] = "100ms"
    udf_max_timeout: Annotated[str, about(LIMITS, "The most time that a UDF may ask for.", "duration")] = "5s"
    udf_memory: Annotated[str, about(LIMITS, "The memory of a UDF that asks for nothing else.", "size")] = "64mb"
    udf_max_memory: Annotated[str, about(LIMITS, "The most memory that a UDF may ask for.", "size")] = "256mb"
    breaker_failures: Annotated[
        int,
        about(
            LIMITS,
            "The number of traps, timeouts and memory faults within `breaker_window` after which the UDF of a stage is "
            "not called for a while, if at least half of its calls failed. 0: no number.",
        ),
    ] = 20
    breaker_window: Annotated[
        str, about(LIMITS, "The time in which the failures of `breaker_failures` are counted.", "duration")
    ] = "10s"
    breaker_pause: Annotated[
        str, about(LIMITS, "The time after which the UDF of such a stage is tried again.", "duration")
    ] = "30s"
    workers: Annotated[
        int,
        about(
            PROCESS,
            "The number of processes that share the port by SO_REUSEPORT; a lost one is started again.",
            restart=True,
        ),
    ] = 1
    threads: Annotated[
        int,
        about(
            PROCESS,
            "The number of threads for pipelines that take more than half a millisecond (two milliseconds where a "
            "worker has two cores or fewer). 0: the number of cores.",
            restart=True,
        ),
    ] = 0
    dead_letter_rate: Annotated[
        int, about(LIMITS, "The most dead letters a second of a proxy; documents over it are answered with 429.")
    ] = 1000
    quotas: Annotated[
        str, about(LIMITS, "A YAML file with quotas of users, indexes and headers. Empty: no quotas.", "file")
    ] = ""
    queue: Annotated[
        int, about(PROCESS, "The number of batches that may wait for a thread; more are answered with 429.")
    ] = 256
    drain_delay: Annotated[
        str,
        about(
            PROCESS,
            "The time after SIGTERM for which the proxy serves on while `/_proxy/health/ready` is 503, before it stops "
            "listening.",
            "duration",
        ),
    ] = "0s"
    shutdown_grace: Annotated[
        str,
        about(PROCESS, "The time of requests in flight after SIGTERM, from the end of `drain_delay` on.", "duration"),
    ] = "20s"
