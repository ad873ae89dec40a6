# Builds the wheels of this machine's kind from the sources: `docker build --file … --output dist .` writes them to dist/.
FROM rust:1.95-bookworm AS build
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3-venv dpkg-dev \
 && sed -i "s/^Types: deb$/Types: deb deb-src/" /etc/apt/sources.list.d/debian.sources && apt-get update \
 && rm -rf /var/lib/apt/lists/partial
WORKDIR /src
COPY . .
RUN python3 -m venv /build && /build/bin/pip install --quiet build maturin ziglang \
 && /build/bin/python -m guests \
 && PATH=/build/bin:$PATH maturin build --release --locked --zig --compatibility manylinux_2_28 \
      --manifest-path wasm-runtime/Cargo.toml --out /wheels \
 && /build/bin/python -m build --wheel --outdir /wheels proxy

FROM scratch
COPY --from=build /wheels /
