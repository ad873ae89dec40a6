# Builds the wheels of both distributions, then a small image in which an unprivileged user runs the proxy.
FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install --yes --no-install-recommends python3-venv && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN python3 -m venv /build && /build/bin/pip install --quiet build ziglang \
 && /build/bin/python -m guests \
 && /build/bin/python -m build --wheel --outdir /wheels pipelines \
 && /build/bin/python -m build --wheel --outdir /wheels proxy

FROM python:3.11-slim-bookworm
COPY --from=build /wheels /wheels
RUN python -m venv /app && /app/bin/pip install --quiet --no-cache-dir /wheels/*.whl && rm -rf /wheels \
 && useradd --system --create-home headrace && mkdir /state && chown headrace /state
USER headrace
ENV HEADRACE_LISTEN=0.0.0.0:9280 HEADRACE_STATE_DIR=/state
VOLUME /state
EXPOSE 9280
HEALTHCHECK CMD ["/app/bin/python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9280/_proxy/health/live')"]
ENTRYPOINT ["/app/bin/headrace"]
CMD ["serve"]
