# The image of the wheels in dist/: `make wheels`, then `docker buildx build --platform linux/amd64,linux/arm64 .`
# Without a toolchain: `docker build --file deploy/docker/wheels.Dockerfile --output dist .` builds them in a container.
FROM scratch AS wheels
COPY dist/*.whl /

FROM python:3.13-slim-bookworm AS install
COPY --from=wheels / /wheels
RUN python -m venv --without-pip /app \
 && pip --python /app/bin/python install --quiet --no-cache-dir --no-compile --find-links /wheels headrace \
 && python -m venv /sbom && /sbom/bin/pip install --quiet --no-cache-dir "cyclonedx-bom>=7,<8" \
 && /sbom/bin/cyclonedx-py environment --output-file /app/sbom.cdx.json /app/bin/python

FROM python:3.13-slim-bookworm
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="headrace" \
      org.opencontainers.image.description="A drop-in endpoint in front of OpenSearch that runs your own code" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=install /app /app
RUN install --directory --owner=10001 --group=10001 --mode=0700 /state
# A number, so that Kubernetes can tell that it is not root.
USER 10001:10001
ENV PATH=/app/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    HEADRACE_LISTEN=0.0.0.0:9280 \
    HEADRACE_STATE_DIR=/state
VOLUME /state
EXPOSE 9280
STOPSIGNAL SIGTERM
# With TLS of clients, set metrics_listen: this asks the listener of HEADRACE_LISTEN, by HTTPS where it has a certificate.
HEALTHCHECK --start-period=120s CMD ["headrace", "health"]
ENTRYPOINT ["headrace"]
CMD ["serve"]
